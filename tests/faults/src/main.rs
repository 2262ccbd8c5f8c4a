//! `fault-run`: runs Chancery in rounds of trouble and judges what came out.

fn main() {}
