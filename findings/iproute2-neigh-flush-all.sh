#!/bin/bash
# Software: iproute2 6.1.0 (Debian 12: iproute2 6.1.0-3).
# Input: `ip neigh flush dev veth0 nud all` beside entries of the states reachable, permanent and noarp, as a
#   script does that takes back whatever neighbours stand on a bridge before it writes its own.
# Expected: none is left. ip-neighbour(8) says of the word: "the special value all which means all states",
#   and `ip neigh show nud all` shows all three.
# Seen: permanent and reachable are deleted, noarp stays, nothing is said, exit code 0, also with `-s`, which
#   counts two. `flush ... nud noarp` deletes it. So routers that write their neighbours as NOARP (as EVPN
#   control planes do) outlive a flush of "all", and a listing with the same word shows them.
# Exits 0 while that is so, 1 when it is not, 2 when it could not be tried. Needs root.
set -u

if [ "${1-}" != inside ]; then
  [ "$(id -u)" = 0 ] || { echo 'not tried: needs root, for a namespace of its own' >&2; exit 2; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  self=$(readlink -f "$0")
  cd "$work" || exit 2
  apt-get -qq -o APT::Sandbox::User=root download iproute2=6.1.0-3 \
    libmnl0=1.0.4-3 libbpf1=1:1.1.2-0+deb12u1 libelf1=0.188-2.1 \
    libbsd0=0.11.7-2 libcap2=1:2.66-4+deb12u3+b1 libtirpc3=1.3.3+ds-1 || { echo 'not tried: apt-get could not bring these versions (apt-get update first?)' >&2; exit 2; }
  for package in ./*.deb; do dpkg -x "$package" root || exit 2; done
  timeout -s KILL 60 unshare --net bash "$self" inside "$work"
  exit $?
fi

work=$2
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu
ip=$work/root/bin/ip
[ -x "$ip" ] || ip=$work/root/usr/bin/ip

failed() { echo "CHANGED: $*"; exit 1; }
untried() { echo "not tried: $*" >&2; exit 2; }
# States of the neighbours that are there, in order of address.
states() { "$ip" -4 neigh show dev veth0 nud all | sort | awk '{ print $NF }' | tr '\n' ' '; }

"$ip" -V
"$ip" link add veth0 type veth peer name veth1 && "$ip" link set veth0 up && "$ip" link set veth1 up &&
  "$ip" addr add 192.0.2.1/24 dev veth0 || untried 'no pair of veth devices'
number=2
for state in noarp permanent reachable; do
  "$ip" neigh add 192.0.2.$number lladdr 02:00:00:00:00:0$number dev veth0 nud $state || untried "no entry of $state"
  number=$((number + 1))
done
before=$(states)
echo "before:          $before"
[ "$before" = 'NOARP PERMANENT REACHABLE ' ] || untried 'the entries are not there'
said=$("$ip" -s neigh flush dev veth0 nud all 2>&1)
code=$?
after=$(states)
echo "flush nud all:   exit $code, left: $after($(echo "$said" | grep -o 'deleting [0-9]* entries'))"
[ "$code" = 0 ] || failed 'the flush fails'
[ "$after" = 'NOARP ' ] || failed 'what is left is not just the NOARP entry'
"$ip" neigh flush dev veth0 nud noarp >"$work/out" 2>&1 || failed 'nud noarp fails'
echo "flush nud noarp: left: $(states)"
[ -z "$(states)" ] || failed 'nud noarp leaves it, too'
