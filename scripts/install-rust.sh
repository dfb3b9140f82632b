#!/bin/sh
# Installs what turns Rust into WebAssembly for edged, from Debian's own archive: rustc and its library for wasm32.
# `make test` builds Rust guests; running edged does not need any of this.
#
#   scripts/install-rust.sh            install what is missing (asks first on a terminal)
#   scripts/install-rust.sh --yes      never ask
#   scripts/install-rust.sh --check    install nothing; exit 0 when all is there, 1 otherwise
#   scripts/install-rust.sh --print    print the compiler and its target, such as "/usr/bin/rustc wasm32-wasip1"
set -eu

assume_yes=no
packages="rustc libstd-rust-dev-wasm32"

say() { printf '%s\n' "install-rust: $*"; }
die() { printf '%s\n' "install-rust: $*" >&2; exit 1; }

# compiler prints the first compiler that has the library for WASI, and what it calls that: wasm32-wasip1, before Rust 1.78
# wasm32-wasi. Another compiler may stand before Debian's in the path and have no such library.
compiler() {
	for rustc in rustc /usr/bin/rustc; do
		command -v "$rustc" > /dev/null || continue
		root=$("$rustc" --print sysroot 2> /dev/null) || continue
		for target in wasm32-wasip1 wasm32-wasi; do
			if [ -d "$root/lib/rustlib/$target/lib" ]; then
				printf '%s %s\n' "$(command -v "$rustc")" "$target"
				return 0
			fi
		done
	done
	return 1
}

confirm() {
	[ "$assume_yes" = no ] && [ -t 0 ] && [ -t 1 ] || return 0
	printf '%s' "install-rust: go on? [Y/n] "
	read -r answer
	case "$answer" in
		n* | N*) die "stopped; nothing was installed" ;;
	esac
}

# apt_get runs apt-get so that it never waits for an answer.
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" < /dev/null; }

for argument in "$@"; do
	case "$argument" in
		--yes) assume_yes=yes ;;
		--check) compiler > /dev/null; exit ;;
		--print) compiler; exit ;;
		-h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
		*) die "unknown argument '$argument'; see --help" ;;
	esac
done

! compiler > /dev/null || exit 0
[ "$(id -u)" = 0 ] || die "a rustc with its library for wasm32-wasi is missing and installing it needs root; run 'sudo $0'"
command -v apt-get > /dev/null || die "this is not Debian; install rustc and its library for wasm32-wasip1 by hand"
apt_get update || die "apt cannot read its sources; it says why above"
say "this installs $packages"
confirm
# shellcheck disable=SC2086 # a list of words
apt_get -y install --no-install-recommends --no-remove $packages > /dev/null ||
	die "apt could not install $packages; it says why above"
compiler > /dev/null || die "apt ended well but no rustc has the library for wasm32-wasi"
say "done: $(compiler)"
