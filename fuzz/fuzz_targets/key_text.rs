#![no_main]

libfuzzer_sys::fuzz_target!(|data: &str| properties::key_text::check(data));
