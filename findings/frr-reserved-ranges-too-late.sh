#!/bin/bash
# Software: FRR 8.4.4 (Debian 12: frr 8.4.4-1.1~deb12u2), zebra alone.
# Input: a bridge with 10.0.28.1/24 and 240.0.28.1/24 (240.0.0.0/8 is what LXD gives a fan), then zebra with
#   `allow-reserved-ranges` in its file, then a second bridge with 240.0.29.1/24.
# Expected: the command is there to let addresses of 240.0.0.0/4 be used on interfaces, so zebra knows all
#   three, and has a connected route for each.
# Seen: `show running-config` has the command, and zebra knows 10.0.28.1 and 240.0.29.1. It does not know
#   240.0.28.1, not even later, and says nothing of it in its log: it asks the kernel for the addresses before it reads
#   its file, and at that time it still refuses them. Taking the address away and giving it again
#   helps, so the same host is announced or is not by whether the bridge or zebra was there first.
#   (Issues 16326 and 17942 of FRRouting/frr; the manual has no word of the order. Pull request 19516 of
#   2025-09 has zebra take any address from the kernel.)
# Exits 0 while that is so, 1 when it is not, 2 when it could not be tried. Needs root.
set -u

if [ "${1-}" != inside ]; then
  [ "$(id -u)" = 0 ] || { echo 'not tried: needs root, for namespaces of its own' >&2; exit 2; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  self=$(readlink -f "$0")
  cd "$work" || exit 2
  apt-get -qq -o APT::Sandbox::User=root download frr=8.4.4-1.1~deb12u2 libyang2=2.1.30-2 \
    libjson-c5=0.16-2 libreadline8=8.2-1.3 ||
    { echo 'not tried: apt-get could not bring these versions (apt-get update first?)' >&2; exit 2; }
  for package in ./*.deb; do dpkg -x "$package" root || exit 2; done
  # All that is started, mounted and made in here ends with its first process.
  timeout -s KILL 60 unshare --mount --net --pid --fork --kill-child --mount-proc \
    bash "$self" inside "$work"
  exit $?
fi

work=$2
bin=$work/root/usr
libraries=$bin/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries/frr:$libraries:$work/root/lib/x86_64-linux-gnu

failed() { echo "CHANGED: $*"; exit 1; }
untried() { echo "not tried: $*" >&2; exit 2; }

# until_true SECONDS COMMAND...: asks five times a second.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# FRR insists on its group for its sockets and on a folder for its logs: both only in here.
{ grep -v '^frr' /etc/group | sed 's/,\?frr//'; echo 'frrvty:x:65533:root'; } >"$work/group"
mount --bind "$work/group" /etc/group
mount -t tmpfs none /var/tmp
echo >"$work/vtysh.conf"
echo 'allow-reserved-ranges' >"$work/zebra.conf"
vtysh() { "$bin/bin/vtysh" --vty_socket "$work" --config_dir "$work" -c "$1"; }
start_frr() { # start_frr zebra
  "$bin/lib/frr/$1" -u root -g root -f "$work/$1.conf" -i "$work/$1.pid" -z "$work/zserv" \
    --vty_socket "$work" -P 0 >>"$work/$1.log" 2>&1 &
  until_true 15 test -S "$work/$1.vty" || { cat "$work/$1.log" >&2; untried "no $1"; }
}

bridge_with() { # bridge_with NAME ADDRESS...
  local name=$1 address
  shift
  ip link add "$name" type bridge || untried 'no bridge'
  ip link set "$name" up
  for address in "$@"; do ip address add "$address" dev "$name" || untried 'no address'; done
}
ip link set lo up
bridge_with early 10.0.28.1/24 240.0.28.1/24
start_frr zebra
vtysh 'show version' | head -1
bridge_with late 240.0.29.1/24

# knows ADDRESS: as that of an interface.
knows() { vtysh 'show interface' | grep -qF "inet $1"; }
until_true 15 knows 10.0.28.1/24 || untried 'zebra does not know the ordinary address'
until_true 15 knows 240.0.29.1/24 || failed 'the address that came later is not known'
sleep 3
echo '--- show running-config:'
vtysh 'show running-config' | grep -E '^allow' || untried 'zebra did not take the command'
echo '--- ip address:'
ip -4 -brief address show
echo '--- show interface:'
vtysh 'show interface' | grep -E '^Interface|inet '
knows 240.0.28.1/24 && failed 'the address that was there first is known'
grep -qF 240.0.28.1 "$work/zebra.log" && failed 'the log says something of it'
ip address del 240.0.28.1/24 dev early
ip address add 240.0.28.1/24 dev early
until_true 10 knows 240.0.28.1/24 || failed 'the address is not known when it is given again'
echo '--- the same address, given again:'
vtysh 'show interface' | grep -E '^Interface|inet '
echo 'AS STATED: the command holds for addresses that come later only'
