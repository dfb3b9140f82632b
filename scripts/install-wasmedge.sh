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
#   scripts/install-wasmedge.sh --source   print the apt source for trixie, made from the machine's own
set -eu

packages="libwasmedge-dev libwasmedge0"
sources=/etc/apt/sources.list.d/edged-trixie.sources
pin=/etc/apt/preferences.d/edged-trixie
assume_yes=no

say() { printf '%s\n' "install-wasmedge: $*"; }
die() { printf '%s\n' "install-wasmedge: $*" >&2; exit 1; }

# present asks the compiler, not dpkg, so that a library installed by hand counts too.
present() {
	object=$(mktemp) || exit 1
	result=0
	printf '%s\n' '#include <wasmedge/wasmedge.h>' '#if WASMEDGE_VERSION_MAJOR != 0 || WASMEDGE_VERSION_MINOR != 14' \
		'#error wrong version' '#endif' 'int main(void) { return WasmEdge_VersionGet() == 0; }' |
		"${CC:-gcc}" -x c - -o "$object" -lwasmedge 2> /dev/null || result=1
	rm -f "$object"
	return "$result"
}

# machine_release prints the suite that the machine's own sources serve. /etc/os-release would lie on a Debian 12 that has
# taken libc6 from trixie, because that brings trixie's base-files with it.
machine_release() {
	for release in bookworm trixie; do
		[ -z "$(archive_source "$release")" ] || { echo "$release"; return; }
	done
}

# archive_source prints a deb822 stanza for trixie, made from the first stanza or line that serves the given release.
# Two forms exist: one-line files ("deb [options] URI suite components") and deb822 files (.sources).
archive_source() {
	for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		if [ ! -f "$file" ] || [ "$file" = "$sources" ]; then continue; fi
		case "$file" in
			*.sources) stanza=$(from_deb822 "$1" < "$file") ;;
			*) stanza=$(from_one_line "$1" < "$file") ;;
		esac
		[ -z "$stanza" ] || { printf '%s\n' "$stanza"; return; }
	done
}

from_deb822() {
	awk -v release="$1" -v RS='' '
		{
			uri = ""; signed = ""; suites = ""; on = 1
			n = split($0, lines, "\n")
			for (i = 1; i <= n; i++) {
				if (lines[i] ~ /^URIs:/) { uri = lines[i]; sub(/^URIs:[ \t]*/, "", uri); sub(/[ \t].*/, "", uri) }
				if (lines[i] ~ /^Suites:/) { suites = lines[i] " "; gsub(/[ \t]+/, " ", suites) }
				if (lines[i] ~ /^Signed-By:[ \t]*\//) { signed = lines[i] }
				if (lines[i] ~ /^Enabled:[ \t]*no/) { on = 0 }
			}
			if (on && uri != "" && index(suites, " " release " ")) {
				print "Types: deb\nURIs: " uri "\nSuites: trixie\nComponents: main"
				if (signed != "") print signed
				exit
			}
		}'
}

from_one_line() {
	sed 's/\[[^]]*\]//' | awk -v release="$1" '
		$1 == "deb" && $3 == release && $2 !~ /^cdrom:/ {
			print "Types: deb\nURIs: " $2 "\nSuites: trixie\nComponents: main"
			print "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
			exit
		}'
}

add_trixie() {
	archive_source bookworm > "$sources"
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
		n* | N*) die "stopped; nothing was installed" ;;
	esac
}

# apt_get runs apt-get so that it never waits for an answer: configuration files that were changed here stay as they are.
apt_get() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" < /dev/null
}

# removals prints the packages that the installation would take away; there are none on a plain Debian.
removals() {
	# shellcheck disable=SC2086 # both are lists of words
	plan=$(apt_get -s install --no-install-recommends $1 $packages) || return 1
	printf '%s\n' "$plan" | awk '$1 == "Remv" { printf "%s ", $2 }'
}

install_engine() {
	from=$1
	lost=$(removals "$from") || die "apt cannot install $packages; it says why above"
	if [ -n "$lost" ]; then
		say "this would REMOVE: $lost"
		[ "$assume_yes" = yes ] || [ -t 0 ] || die "nothing was installed; run 'sudo $0 --yes' to agree to that"
		confirm
	fi
	# shellcheck disable=SC2086 # both are lists of words
	apt_get -y install --no-install-recommends $from $packages > /dev/null ||
		die "apt could not install $packages; it says why above"
}

for argument in "$@"; do
	case "$argument" in
		--yes) assume_yes=yes ;;
		--check) present; exit ;;
		--source) archive_source "$(machine_release)"; exit ;;
		-h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
		*) die "unknown argument '$argument'; see --help" ;;
	esac
done

! present || exit 0
command -v "${CC:-gcc}" > /dev/null || die "there is no C compiler; install gcc and libc6-dev first"
[ "$(id -u)" = 0 ] || die "libwasmedge 0.14 is missing and installing it needs root; run 'sudo $0'"
command -v apt-get > /dev/null || die "this is not Debian; install libwasmedge 0.14.1 with its headers by hand"
case "$(machine_release)" in
	bookworm)
		say "Debian 12 has no WasmEdge. This adds Debian 13 (trixie) to the apt sources, pinned at priority 100 so that"
		say "nothing else changes suites ($sources, $pin), and takes from it:"
		say "  libwasmedge0 libwasmedge-dev, and what they need: libllvm19 libspdlog1.15 libfmt10 libstdc++6 libgcc-s1"
		say "  libzstd1 libz3-4, libc6 2.41 with its own companions (libc-bin, libc6-dev, locales, base-files, dpkg where"
		say "  they are installed; /etc/os-release will name Debian 13 then)"
		confirm
		add_trixie
		from="-t trixie"
		;;
	trixie)
		say "this installs $packages"
		confirm
		from=
		;;
	*)
		die "found no apt source for Debian 12 (bookworm) or 13 (trixie); install libwasmedge 0.14.1 with its headers by hand"
		;;
esac
apt_get update || die "apt cannot read its sources; it says why above"
install_engine "$from"
present || die "apt ended well but a program cannot be linked with libwasmedge 0.14"
say "done: $(dpkg-query -W -f '${Package} ${Version}\n' libwasmedge0)"
