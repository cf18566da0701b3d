//! Putting configs together.
