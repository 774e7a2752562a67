//! `hongbaod`, the program: installs the cryptography that TLS and signatures share, then hands
//! its arguments to the command line.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A job costs 1.78 times its RSA instead of 1.88 with the system's; see docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Every TLS client takes the process's default; it must be there before the first of them.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("hongbaod: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    hongbaod::cli::main()
}
