#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::xml_writer::check(data));
