#!/usr/bin/env bash
# Makes the Debian package of a binary that packaging/build.sh made.
#   packaging/debian/build.sh [TARGET]     default: x86_64-unknown-linux-musl; the result lands in target/dist/
# Needs dpkg-deb only. The binary is static, so the package depends on nothing but what its scripts use.
# PROGRAM, VERSION and OUT replace the binary, the version and the place of the result, for trials. The completions are
# printed by a program that runs here: NATIVE, or the binary itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${1:-x86_64-unknown-linux-musl}
case $target in
  x86_64-*) arch=amd64 ;;
  aarch64-*) arch=arm64 ;;
  armv7-*) arch=armhf ;;
  *) echo "no Debian architecture for $target" >&2; exit 2 ;;
esac
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
binary=${PROGRAM:-target/dist/$target/openclaw}
native=${NATIVE:-$binary}
out=${OUT:-target/dist}
[ -x "$binary" ] || { echo "$binary is missing: run packaging/build.sh $target" >&2; exit 1; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
from=packaging/debian
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# It becomes the package's "/".
chmod 0755 "$root"

install -Dm 0755 "$binary" "$root/usr/bin/openclaw"
for page in man/*; do
  install -d "$root/usr/share/man/man${page##*.}"
  gzip -9nc "$page" >"$root/usr/share/man/man${page##*.}/$(basename "$page").gz"
done
for place in bash:bash-completion/completions/openclaw zsh:zsh/vendor-completions/_openclaw \
  fish:fish/vendor_completions.d/openclaw.fish; do
  install -d "$root/usr/share/$(dirname "${place#*:}")"
  "$native" completion "${place%%:*}" >"$root/usr/share/${place#*:}"
done
install -Dm 0644 LICENSE "$root/usr/share/doc/openclaw/copyright"
install -Dm 0644 "$from/openclaw.sysusers" "$root/usr/lib/sysusers.d/openclaw.conf"
install -Dm 0644 "$from/openclaw.tmpfiles" "$root/usr/lib/tmpfiles.d/openclaw.conf"
install -Dm 0640 "$from/openclaw.json" "$root/etc/openclaw/openclaw.json"
install -d "$root/usr/lib/systemd/system"
sed -e 's|@UNIT@|openclaw-gateway.service|' -e 's|@DESCRIPTION@|OpenClaw gateway|' -e 's|@USER@|openclaw|' \
  -e 's|@COMMAND@|/usr/bin/openclaw gateway|' -e 's|@STATE_DIR@|/var/lib/openclaw|' \
  -e 's|@WRITABLE@|-/var/lib/openclaw -/etc/openclaw|' \
  -e 's|@ENVIRONMENT@|Environment=OPENCLAW_HOME=/var/lib/openclaw OPENCLAW_CONFIG_PATH=/etc/openclaw/openclaw.json OPENCLAW_STATE_DIR=/var/lib/openclaw|' \
  packaging/systemd/openclaw-gateway.system.service >"$root/usr/lib/systemd/system/openclaw-gateway.service"
if grep -E '@[A-Z_]+@' "$root/usr/lib/systemd/system/openclaw-gateway.service"; then
  echo 'the unit has a placeholder that is not filled' >&2
  exit 1
fi

install -d "$root/DEBIAN"
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@SIZE@|$size|" "$from/control" >"$root/DEBIAN/control"
install -m 0644 "$from/conffiles" "$root/DEBIAN/conffiles"
install -m 0755 "$from/postinst" "$from/prerm" "$from/postrm" "$root/DEBIAN/"
(cd "$root" && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Z"${COMPRESS:-xz}" --build "$root" "$out/openclaw_${version}_$arch.deb"
