//! Builds the fault shim, a library for `LD_PRELOAD`.

use std::env;
use std::path::PathBuf;
use std::process::exit;

const SOURCES: [&str; 5] = ["paths.c", "rules.c", "shim.c", "trace.c", "vault.c"];
const FLAGS: &str = "-std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -shared -pthread -fvisibility=hidden";

fn main() {
    println!("cargo:rerun-if-changed=shim");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("libchancery_fault_shim.so");
    let mut compiler = cc::Build::new().cargo_metadata(false).get_compiler().to_command();
    compiler.args(FLAGS.split_whitespace()).arg("-o").arg(&out);
    compiler.args(SOURCES.map(|source| format!("shim/{source}"))).arg("-ldl");
    match compiler.status() {
        Ok(status) if status.success() => println!("cargo:rustc-env=CHANCERY_FAULT_SHIM={}", out.display()),
        Ok(status) => fail(&format!("the C compiler ended with {status}: {compiler:?}")),
        Err(error) => fail(&format!("cannot start the C compiler: {error}; on Debian and Ubuntu: apt-get install gcc")),
    }
}

fn fail(reason: &str) -> ! {
    eprintln!("cannot build the fault shim: {reason}");
    exit(1);
}
