//! What a step's effect is, laid over a view.
