//! What `tests/scale` asks for.

/// How many jobs a burst has, where `tests/scale` says it; `None` in an ordinary run.
#[expect(
    clippy::disallowed_methods,
    reason = "tests/scale tells the tests by this variable how many jobs a burst has"
)]
pub(crate) fn jobs() -> Option<usize> {
    let text = std::env::var("HONGBAOD_SCALE_JOBS").ok()?;
    let text = Some(text).filter(|text| !text.is_empty())?;
    let jobs = text.parse();
    Some(jobs.unwrap_or_else(|_| panic!("HONGBAOD_SCALE_JOBS={text}")))
}
