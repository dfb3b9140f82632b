#!/bin/bash
# Serves edged with all examples: what `make run` does.
#
#   scripts/run.sh [ADDRESS [DIRECTORY]]    standard 127.0.0.1:8080 and ./data
#
# It may be run again at any time: what is installed or deployed already stays, and an app of the user's own that has an
# example's name above all. Ctrl-C stops the daemon.
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

# Port and folder are looked at first: everything below takes a while, and the daemon may share a port by SO_REUSEPORT.
host=${address%:*}
host=${host#[}
host=${host%]}
if (exec 3<> "/dev/tcp/${host:-127.0.0.1}/${address##*:}") 2> /dev/null; then
	die "something serves on $address already; stop it, or choose another port: make run HTTP=127.0.0.1:8081"
fi
mkdir -p "$data" || die "cannot make the data folder; choose another: make run DATA=folder"
data=$(realpath "$data")
if [ -e "$data/lock" ] && ! flock --nonblock --shared "$data/lock" true; then
	die "the data folder $data is in use by process $(cat "$data/lock"); stop it, or choose another folder: make run DATA=data2"
fi
command -v go > /dev/null || die "Go is missing; install Go 1.26 or later and run this again"

scripts/install-wasmedge.sh
scripts/install-guest-toolchain.sh
say "building bin/edged"
make --no-print-directory -s build

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

deployed=$(bin/edged ls --json --admin "$data/admin.sock")
for manifest in examples/*/edged.yaml; do
	example=$(dirname "$manifest")
	app=$(sed -n 's/^app: *//p' "$manifest")
	if grep -qF "\"name\": \"$app\"" <<< "$deployed"; then
		say "$app is deployed already and stays ('bin/edged rm $app --admin $data/admin.sock' makes room for the example)"
		continue
	fi
	say "building and deploying $example"
	# Every example's README has the one line that builds it.
	line=$(sed -n 's/^    \$ \(.* -o .*\.wasm .*\)$/\1/p' "$example/README.md" | head -n 1)
	[ -n "$line" ] || die "$example/README.md has no build line"
	if [[ $line == rustc\ * ]]; then
		# The compiler that has the library, and what it calls the target.
		if ! rust=$(scripts/install-rust.sh --print); then
			say "$example is left out: there is no Rust for WebAssembly (scripts/install-rust.sh installs it)"
			continue
		fi
		line="${rust% *} ${line#rustc }"
		line=${line/wasm32-wasip1/${rust#* }}
	fi
	if [[ $line == asc\ * ]]; then
		if ! asc=$(scripts/install-assemblyscript.sh --print); then
			say "$example is left out: there is no AssemblyScript (scripts/install-assemblyscript.sh installs it)"
			continue
		fi
		line="$asc ${line#asc }"
	fi
	(cd "$example" && eval "$line")
	bin/edged deploy "$example" --admin "$data/admin.sock"
done

cat <<-END

	edged serves on http://$address (choose with HTTP=) and keeps its data in $data (choose with DATA=).
	In another terminal, in this folder, try the examples:

	  curl http://$address/hello
	  curl -d Ada http://$address/hello
	  curl 'http://$address/hello-go/hello?name=Grace'
	  curl -X POST 'http://$address/counter/add?by=41'
	  curl http://$address/counter/value
	  curl 'http://$address/cgi/request?a=1'
	  curl --data-binary @examples/thumbnail/sample.png 'http://$address/thumbnail?w=200' -o small.png
	  curl --unix-socket $data/http.sock http://edged/hello
	  bin/edged ls --admin $data/admin.sock

	Ctrl-C stops it; what is deployed and stored stays.
END
wait "$daemon"
