#!/usr/bin/env bash
# Packs what packaging/build.sh made: a tarball for each Linux target, a zip for Windows, a list of checksums.
#   packaging/archive.sh     results: target/dist/openclaw-VERSION-TARGET.{tar.gz,zip}, target/dist/SHA256SUMS
# DIST names another folder than target/dist.
# The completions are printed by a program that runs here: NATIVE, or each target's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
dist=${DIST:-$PWD/target/dist}
# The same input gives the same archive, whoever packs it and when.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

for dir in "$dist"/*-*/; do
  target=$(basename "$dir")
  name=openclaw-$version-$target
  stage=$(mktemp -d)
  mkdir "$stage/$name"
  cp LICENSE README.md "$stage/$name/"
  case $target in
    *-windows-*)
      cp "$dir/openclaw.exe" packaging/windows/{install.ps1,task.xml} "$stage/$name/"
      find "$stage" -exec touch -d "@$epoch" {} +
      (cd "$stage" && rm -f "$dist/$name.zip" && TZ=UTC zip -qrX "$dist/$name.zip" "$name") ;;
    *)
      install -m 0755 "$dir/openclaw" packaging/install.sh "$stage/$name/"
      cp -r man "$stage/$name/"
      mkdir "$stage/$name/completions"
      for shell in bash zsh fish; do "${NATIVE:-$dir/openclaw}" completion $shell >"$stage/$name/completions/$shell"; done
      tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -cf - "$name" \
        | gzip -9n >"$dist/$name.tar.gz" ;;
  esac
  rm -rf "$stage"
done
cd "$dist"
sha256sum openclaw-"$version"-*.tar.gz openclaw-"$version"-*.zip openclaw_"$version"*.deb 2>/dev/null >SHA256SUMS || true
[ -s SHA256SUMS ] || { echo 'nothing to pack: run packaging/build.sh first' >&2; exit 1; }
cat SHA256SUMS
