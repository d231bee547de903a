//! Tells the linker to keep together what a running gateway uses, and has the page compressed.
//!
//! Linux maps a program in windows of 64 KiB around each page that is touched. With its functions in the compiler's order a
//! gateway that does nothing has nearly all of its code in memory; with the used ones side by side it has a third of it.
//! `hot.ld` lists them, made by `order` from what `trace` saw under callgrind, those of a start first. A name that is gone
//! costs nothing, a new one lies where it lay before; so the list may be a few weeks old.

#[path = "../../src/routes/ui/pack.rs"]
mod pack;

use std::env;
use std::path::Path;

fn main() {
    pack::page();
    let script = Path::new("packaging/link/hot.ld");
    println!("cargo:rerun-if-changed=packaging/link/build.rs");
    println!("cargo:rerun-if-changed={}", script.display());
    println!("cargo:rerun-if-env-changed=OPENCLAW_LINK_ORDER");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // `OPENCLAW_LINK_ORDER=0` is for linkers that do not know INSERT, and for making the list.
    let wanted = env::var("OPENCLAW_LINK_ORDER").map_or(true, |value| value != "0");
    if !linux || !release || !wanted {
        return;
    }
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", Path::new(&root).join(script).display());
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        // 260 KB less: the places of pointers that the loader has to adjust, as a bitmap (glibc 2.36).
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu")
        && env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64")
    {
        // Functions whose machine code is the same are kept once. The linker there is LLD, since Rust 1.90.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        // And so is constant data, 58 KB of it: nothing tells constants apart by where they lie.
        println!("cargo:rustc-link-arg-bins=-Wl,--ignore-data-address-equality");
    }
}
