//! Bugs that are planted on purpose, to prove that the oracle sees them.

use hongbaod::app::worker::{Ports, WorkerOptions};

/// A bug, made by a mutated port or by wrong numbers; the worker's code is the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {}

/// The ports and numbers of a worker that has the bug.
pub(crate) fn mutate(
    bug: Option<Bug>,
    ports: Ports,
    options: WorkerOptions,
) -> (Ports, WorkerOptions) {
    match bug {
        None => (ports, options),
    }
}
