#!/usr/bin/env bash
# Builds the program for one or all targets and says how large it became.
#   packaging/build.sh                     every target below
#   packaging/build.sh TARGET [cargo...]   one target; what follows goes to cargo
#
# Linux targets are static (musl), Windows needs no DLL beyond the system's. Needs a Rust toolchain with the target's
# standard library, or CROSS=source with a toolchain that can build it (RUSTC_BOOTSTRAP, rust-src); zig and cargo-zigbuild
# for everything but Windows; Debian's gcc-mingw-w64-x86-64-win32 for Windows. Results land in target/dist/TARGET/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf x86_64-pc-windows-gnu)
# Bytes. The promise of the README, for every target.
limit=$((8 * 1024 * 1024))

build() {
  local target=$1 flags='' name=openclaw cargo=(cargo zigbuild)
  shift
  local extra=()
  [ "${CROSS:-}" != source ] || { export RUSTC_BOOTSTRAP=1; extra=(-Zbuild-std=std,panic_unwind); }
  case $target in
    *-linux-musl*)
      flags='-C target-feature=+crt-static'
      # The standard library built from source has no C start files of its own: zig brings them.
      [ "${CROSS:-}" != source ] || flags="$flags -C link-self-contained=no"
      # Without it the seconds of a 32-bit target end in 2038.
      case $target in arm* | mips* | i?86-*) export RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1 ;; esac ;;
    *-windows-gnu) flags='-C target-feature=+crt-static' name=openclaw.exe cargo=(cargo build) ;;
  esac
  local variable=CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_RUSTFLAGS
  env "$variable=$flags" "${cargo[@]}" --locked --release --target "$target" "${extra[@]}" "$@"
  local dist=target/dist/$target
  mkdir -p "$dist"
  cp "${CARGO_TARGET_DIR:-target}/$target/release/$name" "$dist/"
  local size
  size=$(wc -c <"$dist/$name")
  printf '%s: %d bytes\n' "$target" "$size"
  [ "$size" -le "$limit" ] || { printf '%s is larger than %d bytes\n' "$target" "$limit" >&2; return 1; }
}

if [ $# -gt 0 ]; then
  build "$@"
else
  for target in "${targets[@]}"; do (build "$target"); done
fi
