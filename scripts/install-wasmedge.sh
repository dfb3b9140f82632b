#!/bin/sh
# Installs libwasmedge, the engine edged links against, from Debian's own archive.
#
# Debian 13 (trixie) has it. Debian 12 (bookworm) does not: there this script adds the trixie suite beside the
# machine's own, pinned at priority 100, so that nothing is ever taken from it unless it is asked for by name.
# The archive's address is read from the machine's apt sources; none is written here.
#
#   scripts/install-wasmedge.sh            install what is missing (asks first on a terminal)
#   scripts/install-wasmedge.sh --yes      never ask
#   scripts/install-wasmedge.sh --check    install nothing; exit 0 when all is there, 1 otherwise
set -eu

readonly_packages="libwasmedge-dev libwasmedge0"
sources=/etc/apt/sources.list.d/edged-trixie.sources
pin=/etc/apt/preferences.d/edged-trixie
assume_yes=no

say() { printf '%s\n' "install-wasmedge: $*"; }
die() { printf '%s\n' "install-wasmedge: $*" >&2; exit 1; }

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

all_installed() {
	for package in $readonly_packages; do
		installed "$package" || return 1
	done
}

# archive_source prints the deb822 stanza for trixie, made from the stanza or line that serves this release.
# Two forms exist: one-line files ("deb [options] URI suite components") and deb822 files (.sources).
archive_source() {
	release=$1
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -f "$file" ] || continue
		awk -v release="$release" -v RS='' '
			{
				uri = ""; signed = ""; suites = ""
				n = split($0, lines, "\n")
				for (i = 1; i <= n; i++) {
					if (lines[i] ~ /^URIs:/) { uri = lines[i]; sub(/^URIs:[ \t]*/, "", uri); sub(/[ \t].*/, "", uri) }
					if (lines[i] ~ /^Suites:/) { suites = " " lines[i] " " }
					if (lines[i] ~ /^Signed-By:/) { signed = lines[i] }
				}
				if (uri != "" && index(suites, " " release " ")) {
					print "Types: deb\nURIs: " uri "\nSuites: trixie\nComponents: main"
					if (signed != "") print signed
					exit
				}
			}' "$file"
	done | head -n 5
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -f "$file" ] || continue
		sed 's/\[[^]]*\]//' "$file" | awk -v release="$release" '
			$1 == "deb" && $3 == release {
				print "Types: deb\nURIs: " $2 "\nSuites: trixie\nComponents: main"
				print "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
				exit
			}' 
	done | head -n 5
}

add_trixie() {
	release=$1
	stanza=$(archive_source "$release" | head -n 5)
	[ -n "$stanza" ] || die "found no apt source for $release on this machine; add Debian trixie to your apt sources and run this again"
	printf '%s\n' "$stanza" > "$sources"
	cat > "$pin" <<-END
		Explanation: written by edged; trixie serves only what is asked from it by name.
		Package: *
		Pin: release n=trixie
		Pin-Priority: 100
	END
}

confirm() {
	[ "$assume_yes" = no ] && [ -t 0 ] && [ -t 1 ] || return 0
	printf '%s' "install-wasmedge: go on? [Y/n] "
	read -r answer
	case "$answer" in
		n* | N*) die "stopped; nothing was changed" ;;
	esac
}

for argument in "$@"; do
	case "$argument" in
		--yes) assume_yes=yes ;;
		--check) all_installed; exit ;;
		-h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
		*) die "unknown argument '$argument'; see --help" ;;
	esac
done

all_installed && exit 0
[ "$(id -u)" = 0 ] || die "needs root to install $readonly_packages; run 'sudo $0'"
[ -r /etc/os-release ] || die "this is not Debian; install libwasmedge 0.14.1 with its headers by hand"
# shellcheck disable=SC1091
. /etc/os-release
from=
case "${VERSION_CODENAME:-}" in
	bookworm)
		say "Debian 12 has no WasmEdge. From trixie (pinned at 100, nothing else will change suites) this takes:"
		say "  libwasmedge0 libwasmedge-dev and what they need (libllvm19, liblld-19, libspdlog, libfmt, libstdc++6, libc6)"
		confirm
		add_trixie bookworm
		from="-t trixie"
		;;
	*)
		say "installing $readonly_packages"
		confirm
		;;
esac
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $from $readonly_packages > /dev/null
all_installed || die "apt-get ended well but $readonly_packages are not there"
say "done: $(dpkg-query -W -f '${Package} ${Version}\n' libwasmedge0)"
