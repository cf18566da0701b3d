//! A linter over plans: checks their invariants, independent of the planners' code.
