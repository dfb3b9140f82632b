#!/bin/bash
# Serves edged with all examples: what `make run` does.
#
#   scripts/run.sh [ADDRESS [DIRECTORY]]    standard 127.0.0.1:8080 and ./data
#
# It may be run again at any time: what is installed, built or deployed already stays. Ctrl-C stops the daemon.
set -euo pipefail
cd "$(dirname "$0")/.."

address=${1:-127.0.0.1:8080}
data=${2:-data}
daemon=

say() { printf '%s\n' "run: $*"; }
die() { printf '%s\n' "run: $*" >&2; exit 1; }

# stop ends the daemon, which first answers what it has taken. A second Ctrl-C ends it at once.
stop() {
	trap - EXIT
	[ -n "$daemon" ] || return 0
	trap 'kill -TERM "$daemon" 2> /dev/null' INT TERM
	kill -TERM "$daemon" 2> /dev/null || true
	while kill -0 "$daemon" 2> /dev/null; do wait "$daemon" || true; done
}

# The port is asked first: everything below takes a while, and the daemon may share a port by SO_REUSEPORT.
if (exec 3<> "/dev/tcp/${address%:*}/${address##*:}") 2> /dev/null; then
	die "something serves on $address already; stop it, or choose another with 'make run HTTP=127.0.0.1:8081'"
fi
command -v go > /dev/null || die "Go is missing; install Go 1.26 or later and run this again"

scripts/install-wasmedge.sh
scripts/install-guest-toolchain.sh
say "building bin/edged"
make --no-print-directory -s build

# Every example's README has the one line that builds it.
for manifest in examples/*/edged.yaml; do
	example=$(dirname "$manifest")
	line=$(sed -n 's/^    \$ \(.* -o .*\.wasm .*\)$/\1/p' "$example/README.md" | head -n 1)
	[ -n "$line" ] || die "$example/README.md has no build line"
	say "building $example"
	(cd "$example" && eval "$line")
done

mkdir -p "$data"
data=$(realpath "$data")
trap stop EXIT
trap 'stop; exit 0' INT TERM
# A session of its own, so that Ctrl-C reaches this script only and the daemon is told once. Its first line of output says
# that it serves; its log stays on the terminal.
ready=$(mktemp -u "$data/ready.XXXXXX")
mkfifo "$ready"
setsid bin/edged serve --data "$data" --http "$address" --uds "$data/http.sock" --admin "$data/admin.sock" > "$ready" &
daemon=$!
exec 3< "$ready"
rm -f "$ready"
read -r line <&3 || die "edged did not start; its log above says why"
say "serving: $line"

for manifest in examples/*/edged.yaml; do
	bin/edged deploy "$(dirname "$manifest")" --admin "$data/admin.sock"
done

cat <<-END

	edged serves on http://$address with all examples. In another terminal try:

	  curl http://$address/hello
	  curl -d Ada http://$address/hello
	  curl 'http://$address/hello-go/hello?name=Grace'
	  curl -X POST 'http://$address/counter/add?by=41'
	  curl http://$address/counter/value
	  curl 'http://$address/cgi/request?a=1'
	  curl --data-binary @photo.jpg 'http://$address/thumbnail?w=200' -o small.jpg
	  curl --unix-socket $data/http.sock http://edged/hello
	  bin/edged ls --admin $data/admin.sock

	Ctrl-C stops it; what was stored stays in $data.
END
wait "$daemon"
