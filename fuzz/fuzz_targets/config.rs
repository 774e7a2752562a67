#![no_main]

libfuzzer_sys::fuzz_target!(|data: &str| properties::config::check(data));
