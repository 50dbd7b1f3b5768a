//! How the program is linked; nothing is made here.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Half a megabyte of the program's tables is read at its start, and stays in memory: this way it
    // is 10 KB. Debian 12's linker and loader know it (glibc 2.36); a linker that doesn't passes over it.
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
