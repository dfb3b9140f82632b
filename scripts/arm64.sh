#!/bin/bash
# Builds edged for arm64 against Debian's arm64 packages and runs the engine's safety tests under qemu-user: what
# `make arm64` does. Everything but two tools stays below .cache/arm64; the machine's dpkg learns no second architecture.
#
#   scripts/arm64.sh [GO TEST FLAGS]    for instance -test.run=Trap
#
# Emulation is about 35 times slower than the machine itself, so this takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=$PWD/.cache/arm64
root=$cache/sysroot
libraries=$root/usr/lib/aarch64-linux-gnu
packages="libwasmedge-dev libwasmedge0 libc6-dev libstdc++6"
tested="./wasmedge ./wasmedge/preempt"
say() { printf '%s\n' "arm64: $*"; }
die() { printf '%s\n' "arm64: $*" >&2; exit 1; }

# emulator prints qemu's name: Debian 12 ships it as -static, Debian 13 without.
emulator() { command -v qemu-aarch64-static || command -v qemu-aarch64; }

tools() {
	if command -v aarch64-linux-gnu-gcc > /dev/null && emulator > /dev/null; then return; fi
	[ "$(id -u)" = 0 ] || die "gcc-aarch64-linux-gnu and qemu-user are missing and installing them needs root"
	apt-get update -qq
	emulation=qemu-user
	if apt-cache show --no-all-versions qemu-user-static 2> /dev/null | grep -q '^Version: 1:[0-7]\.'; then
		emulation=qemu-user-static # 7.2 of Debian 12: qemu-user itself is not static there
	fi
	say "this installs gcc-aarch64-linux-gnu $emulation"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
		gcc-aarch64-linux-gnu "$emulation" < /dev/null > /dev/null
}

# private_apt runs apt-get over a package database of its own: arm64 only, trixie only, nothing installed.
private_apt() {
	mkdir -p "$cache"/apt/{lists/partial,archives/partial,parts,preferences}
	: > "$cache/apt/status"
	scripts/install-wasmedge.sh --source > "$cache/apt/parts/trixie.sources"
	[ -s "$cache/apt/parts/trixie.sources" ] || die "found no apt source for Debian on this machine"
	apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
		-o APT::Get::Show-User-Simulation-Note=no -o Acquire::Languages=none \
		-o Dir::State="$cache/apt" -o Dir::State::lists="$cache/apt/lists" -o Dir::State::status="$cache/apt/status" \
		-o Dir::Cache="$cache/apt" -o Dir::Cache::archives="$cache/apt/archives" \
		-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$cache/apt/parts" \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$cache/apt/preferences" "$@" < /dev/null
}

# sysroot unpacks the packages, and what they need, once.
sysroot() {
	[ ! -e "$cache/complete" ] || return 0
	say "fetching Debian's arm64 packages: $packages and what they need"
	private_apt update
	# shellcheck disable=SC2086 # a list of words
	private_apt -y --no-install-recommends --download-only install $packages
	rm -rf "$root"
	mkdir -p "$root/usr/lib"
	ln -s usr/lib "$root/lib" # as on a merged Debian; packages put the loader into either
	for package in "$cache"/apt/archives/*.deb; do
		dpkg-deb -x "$package" "$root"
	done
	touch "$cache/complete"
}

# spare_old_emulator lets qemu before 8 (Debian 12 has 7.2) off what it has no memory for: it keeps 16 bytes for each page of
# address space that was ever mapped, 50 MB for one linear memory.
spare_old_emulator() {
	version=$("$(emulator)" --version | sed -n '1s/^[^0-9]*\([0-9]*\).*/\1/p')
	[ "$version" -lt 8 ] || return 0
	say "qemu $version: leaving out TestMemoriesAreCapped and TestHammer; Debian 13 has a qemu that can run them"
	skipped='^(TestMemoriesAreCapped|TestHammer)$'
}

tools
sysroot
skipped='^$'
spare_old_emulator
say "sysroot has $(find "$cache/apt/archives" -name '*.deb' | wc -l) packages"

export GOOS=linux GOARCH=arm64 CGO_ENABLED=1
export CC="aarch64-linux-gnu-gcc --sysroot=$root -B$libraries -Wl,-rpath-link,$libraries -Wl,--allow-shlib-undefined"
export PKG_CONFIG_LIBDIR=$libraries/pkgconfig

if [ -f edged/main.go ]; then
	say "building edged"
	go build -buildmode=pie -o "$cache/edged" ./edged
	say "$(file -b "$cache/edged" 2> /dev/null | cut -d, -f1-2 || true)"
fi
for package in $tested; do
	binary=$cache/$(basename "$package").test
	rm -f "$binary"
	say "building $package"
	go test -c -o "$binary" "$package"
	[ -e "$binary" ] || { say "$package has no tests"; continue; }
	say "testing $package under $(emulator)"
	# Tests that start their own binary read the variable: the kernel could not.
	# choom: should the emulator need too much memory all the same, it goes first.
	(cd "$package" && EDGED_TEST_EMULATOR="$(emulator) -L $root" choom -n 1000 -- "$(emulator)" -L "$root" "$binary" \
		-test.timeout 60m -test.skip "$skipped" "$@")
done
