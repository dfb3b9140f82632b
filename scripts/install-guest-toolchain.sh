#!/bin/sh
# Installs what turns C into WebAssembly for edged, from Debian's own archive: clang, lld, wasi-libc and compiler-rt.
# Go needs nothing beyond itself. `make test` builds C guests; running edged does not need any of this.
#
#   scripts/install-guest-toolchain.sh            install what is missing (asks first on a terminal)
#   scripts/install-guest-toolchain.sh --yes      never ask
#   scripts/install-guest-toolchain.sh --check    install nothing; exit 0 when all is there, 1 otherwise
set -eu

assume_yes=no

say() { printf '%s\n' "install-guest-toolchain: $*"; }
die() { printf '%s\n' "install-guest-toolchain: $*" >&2; exit 1; }

# present builds a reactor that needs all four: the compiler, the linker, libc's headers and start file, and a function of
# compiler-rt (128-bit division). A toolchain installed by hand counts too.
present() {
	command -v clang > /dev/null || return 1
	module=$(mktemp) || exit 1
	result=0
	printf '%s\n' '#include <stdlib.h>' \
		'__attribute__((export_name("f"))) __int128 f(__int128 a, __int128 b) { free(malloc(1)); return a / b; }' |
		clang --target=wasm32-wasi -O2 -msimd128 -mexec-model=reactor -x c - -o "$module" 2> /dev/null || result=1
	rm -f "$module"
	return "$result"
}

# runtime_package prints the name of compiler-rt's package for the clang that is or would be installed; it carries clang's
# version (14 on Debian 12, 19 on Debian 13).
runtime_package() {
	depends=$(dpkg-query -W -f '${Depends}' clang 2> /dev/null) || depends=
	[ -n "$depends" ] || depends=$(apt-cache show --no-all-versions clang | sed -n 's/^Depends: //p')
	version=$(printf '%s\n' "$depends" | sed -n 's/^.*clang-\([0-9][0-9]*\).*$/\1/p' | head -n 1)
	[ -n "$version" ] || die "cannot tell the version of clang from its package; it depends on: $depends"
	echo "libclang-rt-$version-dev-wasm32"
}

confirm() {
	[ "$assume_yes" = no ] && [ -t 0 ] && [ -t 1 ] || return 0
	printf '%s' "install-guest-toolchain: go on? [Y/n] "
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
		--check) present; exit ;;
		-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
		*) die "unknown argument '$argument'; see --help" ;;
	esac
done

! present || exit 0
[ "$(id -u)" = 0 ] || die "clang for wasm32-wasi is missing or incomplete and installing it needs root; run 'sudo $0'"
command -v apt-get > /dev/null || die "this is not Debian; install clang, lld, wasi-libc and compiler-rt for wasm32 by hand"
apt_get update || die "apt cannot read its sources; it says why above"
packages="clang lld wasi-libc $(runtime_package)"
say "this installs $packages"
confirm
# shellcheck disable=SC2086 # a list of words
apt_get -y install --no-install-recommends --no-remove $packages > /dev/null ||
	die "apt could not install $packages; it says why above"
present || die "apt ended well but clang cannot build for wasm32-wasi"
say "done: $(clang --version | head -n 1)"
