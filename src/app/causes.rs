//! An error as one line for people: itself and why.

pub use crate::domain::causes::with_causes;
