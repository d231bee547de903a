#!/bin/sh
# Puts the program, its man pages and completions from an unpacked archive into place: ./install.sh [PREFIX], /usr/local by
# default.
# "./install.sh --remove [PREFIX]" takes them away again. Services are made by the program: openclaw gateway install.
set -eu
remove=
[ "${1:-}" != --remove ] || { remove=1; shift; }
prefix=${1:-/usr/local}
cd "$(dirname "$0")"
if [ -n "$remove" ]; then
	rm -f "$prefix/bin/openclaw"
	for place in bash-completion/completions/openclaw zsh/site-functions/_openclaw fish/vendor_completions.d/openclaw.fish; do
		rm -f "$prefix/share/$place"
	done
	for page in man/*; do rm -f "$prefix/share/man/man${page##*.}/${page##*/}"; done
	echo "removed openclaw from $prefix; configuration and state stay in your home"
	exit
fi
mkdir -p "$prefix/bin"
# A running program cannot be overwritten, but its name can be given to another file.
cp openclaw "$prefix/bin/.openclaw.new"
chmod 0755 "$prefix/bin/.openclaw.new"
mv -f "$prefix/bin/.openclaw.new" "$prefix/bin/openclaw"
for page in man/*; do
	dir=$prefix/share/man/man${page##*.}
	mkdir -p "$dir"
	cp "$page" "$dir/"
	chmod 0644 "$dir/${page##*/}"
done
for place in bash:bash-completion/completions/openclaw zsh:zsh/site-functions/_openclaw \
	fish:fish/vendor_completions.d/openclaw.fish; do
	[ -f "completions/${place%%:*}" ] || continue
	mkdir -p "$prefix/share/$(dirname "${place#*:}")"
	cp "completions/${place%%:*}" "$prefix/share/${place#*:}"
	chmod 0644 "$prefix/share/${place#*:}"
done
"$prefix/bin/openclaw" --version
echo "next: openclaw gateway install   (or in the foreground: openclaw gateway)"
