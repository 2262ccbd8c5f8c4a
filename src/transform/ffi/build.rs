//! Builds the C shim over libxslt and links the three libraries it stands on.
//!
//! They are linked dynamically, so the system's security updates reach them without a new build.

use std::process::exit;

fn main() {
    println!("cargo:rerun-if-changed=src/transform/ffi/shim.c");
    println!("cargo:rerun-if-changed=src/transform/ffi/build.rs");
    let mut shim = cc::Build::new();
    shim.file("src/transform/ffi/shim.c").std("c11").define("_GNU_SOURCE", None).warnings(true).extra_warnings(true);
    for (library, version) in [("libxml-2.0", "2.9.10"), ("libxslt", "1.1.34"), ("libexslt", "0.8.20")] {
        match pkg_config::Config::new().atleast_version(version).cargo_metadata(false).probe(library) {
            Ok(found) => {
                shim.includes(&found.include_paths);
            }
            Err(error) => {
                eprintln!("cannot find {library} {version} or newer, which the XSLT transform is built on");
                eprintln!("on Debian and Ubuntu: apt-get install libxml2-dev libxslt1-dev pkg-config");
                eprintln!("pkg-config said: {error}");
                exit(1);
            }
        }
    }
    shim.compile("chancery_shim");
    // After the shim, because the linker resolves from left to right.
    for library in ["libexslt", "libxslt", "libxml-2.0"] {
        if let Err(error) = pkg_config::Config::new().probe(library) {
            eprintln!("cannot link {library}: {error}");
            exit(1);
        }
    }
}
