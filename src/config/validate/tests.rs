//! Tests come with the rules.
