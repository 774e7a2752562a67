//! The digests that tell jobs, bodies and requests apart: the first 16 bytes of a SHA-256.

use sha2::{Digest as _, Sha256};

use crate::domain::job::{Fingerprint, MoneyJob};

/// The fingerprint of a job: equal for two jobs exactly when all their fields but `not_after` are.
#[must_use]
pub fn fingerprint(job: &MoneyJob) -> Fingerprint {
    digest(job.canonical().as_bytes())
}

/// The digest of any bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> Fingerprint {
    let mut first = [0; 16];
    for (target, source) in first.iter_mut().zip(Sha256::digest(bytes)) {
        *target = source;
    }
    Fingerprint(first)
}
