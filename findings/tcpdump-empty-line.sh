#!/bin/bash
# Software: tcpdump 4.99.3 (Debian 12: tcpdump 4.99.3-1).
# Input: `tcpdump -l -n -i lo` on an interface where nothing passes, standard output into a file, then
#   SIGTERM, as a script does that wants to know whether any packet came.
# Expected: nothing captured, so nothing on standard output, and `[ -s FILE ]` is false. The count
#   ("0 packets captured") goes to standard error.
# Seen: one empty line (a single newline) on standard output, so the file is not empty and a count of
#   its lines is 1; SIGINT does the same. With `-w -` there is none: just the 24
#   bytes of the file's header. The manual page does not mention it. Counting lines with text in them
#   (`grep -c .`) gives 0.
# Exits 0 while that is so, 1 when it is not, 2 when it could not be tried. Needs root.
set -u

if [ "${1-}" != inside ]; then
  [ "$(id -u)" = 0 ] || { echo 'not tried: needs root, for a namespace of its own' >&2; exit 2; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  self=$(readlink -f "$0")
  cd "$work" || exit 2
  apt-get -qq -o APT::Sandbox::User=root download tcpdump=4.99.3-1 libpcap0.8=1.10.3-1 ||
    { echo 'not tried: apt-get could not bring these versions (apt-get update first?)' >&2; exit 2; }
  for package in ./*.deb; do dpkg -x "$package" root || exit 2; done
  # All that is started in here ends with its first process.
  timeout -s KILL 60 unshare --mount --net --pid --fork --kill-child --mount-proc \
    bash "$self" inside "$work"
  exit $?
fi

work=$2
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
tcpdump=$work/root/usr/bin/tcpdump

failed() { echo "CHANGED: $*"; exit 1; }
untried() { echo "not tried: $*" >&2; exit 2; }

# quiet SIGNAL FLAG...: what tcpdump writes to standard output, in $work/out, where nothing passes.
quiet() {
  local signal=$1 end=$((SECONDS + 10))
  shift
  : >"$work/err"
  "$tcpdump" -n -i lo "$@" >"$work/out" 2>"$work/err" &
  until grep -q 'listening on' "$work/err"; do
    [ "$SECONDS" -lt "$end" ] || { cat "$work/err" >&2; untried 'tcpdump does not listen'; }
    sleep 0.1
  done
  sleep 0.5
  kill "-$signal" $!
  wait $! || untried 'tcpdump failed'
  grep -q '^0 packets captured' "$work/err" || untried 'something was captured'
  echo "SIG$signal, flags '$*': $(stat -c %s "$work/out") bytes: $(od -An -tx1 "$work/out" | tr -d '\n')"
}

"$tcpdump" --version 2>&1 | head -2
ip link set lo up || untried 'no loopback'
quiet TERM -w -
[ "$(stat -c %s "$work/out")" = 24 ] || failed 'with -w -, not just the header'
# A job in the background of a script ignores SIGINT, so SIGTERM it is.
quiet TERM -l
[ "$(od -An -tx1 "$work/out" | tr -d ' \n')" = 0a ] || failed 'it is not one newline'
[ -s "$work/out" ] || failed 'the file is empty'
echo 'AS STATED: nothing captured, and an empty line on standard output'
