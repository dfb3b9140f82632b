#!/bin/sh
# Installs the AssemblyScript compiler, asc, of one version into .cache/assemblyscript, with npm. `make test` builds AssemblyScript
# guests; running edged does not need any of this. Node and npm come from Debian (nodejs, npm) when they are missing.
#
#   scripts/install-assemblyscript.sh            install what is missing (asks before it changes the system, on a terminal)
#   scripts/install-assemblyscript.sh --yes      never ask
#   scripts/install-assemblyscript.sh --check    install nothing; exit 0 when all is there, 1 otherwise
#   scripts/install-assemblyscript.sh --print    print the compiler's path
set -eu

version=0.27.37
cd "$(dirname "$0")/.."
folder=$PWD/.cache/assemblyscript
asc=$folder/node_modules/.bin/asc
assume_yes=no

say() { printf '%s\n' "install-assemblyscript: $*"; }
die() { printf '%s\n' "install-assemblyscript: $*" >&2; exit 1; }

present() { command -v node > /dev/null && [ -x "$asc" ] && [ "$("$asc" --version 2> /dev/null)" = "Version $version" ]; }

confirm() {
	[ "$assume_yes" = no ] && [ -t 0 ] && [ -t 1 ] || return 0
	printf '%s' "install-assemblyscript: go on? [Y/n] "
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
		--print) present && printf '%s\n' "$asc"; exit ;;
		-h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
		*) die "unknown argument '$argument'; see --help" ;;
	esac
done

! present || exit 0
if ! command -v npm > /dev/null || ! command -v node > /dev/null; then
	[ "$(id -u)" = 0 ] || die "node or npm is missing and installing them needs root; run 'sudo $0'"
	command -v apt-get > /dev/null || die "this is not Debian; install Node 18 or later with npm by hand"
	say "this installs nodejs and npm"
	confirm
	apt_get update || die "apt cannot read its sources; it says why above"
	apt_get -y install --no-install-recommends --no-remove nodejs npm > /dev/null || die "apt could not install nodejs and npm; it says why above"
fi
mkdir -p "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" "assemblyscript@$version" || die "npm could not install assemblyscript@$version; it says why above"
present || die "npm ended well but $asc does not run"
say "done: assemblyscript $version in $folder"
