#!/bin/bash
# Software: GoBGP 3.10.0 (Debian 12: gobgpd 3.10.0-1+b4). FRR 8.4.4 with a kernel bridge and VXLAN
#   device only announces.
# Input: EVPN type 2 routes (MAC, RFC 7432 7.2) of one VNI, all different, over iBGP: 2,000, then
#   4,000, then 8,000 of them, each time to a gobgpd that has just been started.
# Expected: each route costs about the same, so four times the routes take about four times the
#   processor time (plus a little).
# Seen: four times the routes take some 16 times the processor time (0.2 s, 0.9 s and 3.8 s in one
#   run), which makes minutes of 50,000: for each type 2 route that comes from a neighbour it walks
#   through all paths it has, to look for a move of the MAC.
#   Mended in later versions (pull request 2750 of osrg/gobgp, 2023-11).
# Exits 0 while four times the routes take more than 8 times the processor time, 1 when not, 2 when
#   it could not be tried. Needs root.
set -u

if [ "${1-}" != inside ]; then
  [ "$(id -u)" = 0 ] || { echo 'not tried: needs root, for namespaces of its own' >&2; exit 2; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  self=$(readlink -f "$0")
  cd "$work" || exit 2
  apt-get -qq -o APT::Sandbox::User=root download frr=8.4.4-1.1~deb12u2 libyang2=2.1.30-2 \
    libjson-c5=0.16-2 libreadline8=8.2-1.3 gobgpd=3.10.0-1+b4 ||
    { echo 'not tried: apt-get could not bring these versions (apt-get update first?)' >&2; exit 2; }
  for package in ./*.deb; do dpkg -x "$package" root || exit 2; done
  # All that is started, mounted and made in here ends with its first process.
  timeout -s KILL 175 unshare --mount --net --pid --fork --kill-child --mount-proc \
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
echo >"$work/zebra.conf"

# Two hosts: here (192.0.2.1, FRR), and the namespace of a process that sleeps (192.0.2.2, GoBGP).
unshare --net sleep 200 &
other=$!
has_left() { [ "$(readlink "/proc/$other/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
until_true 10 has_left || untried 'no second namespace'
there() { nsenter --target "$other" --net "$@"; }
ip link set lo up
ip link add v0 type veth peer name v1 || untried 'no veth'
ip link set v1 netns "$other" || untried 'no second namespace'
ip address add 192.0.2.1/24 dev v0
ip link set v0 up
there ip link set lo up
there ip address add 192.0.2.2/24 dev v1
there ip link set v1 up

vtysh() { "$bin/bin/vtysh" --vty_socket "$work" --config_dir "$work" -c "$1"; }
gobgp() { there "$bin/bin/gobgp" "$@"; }
start_frr() { # start_frr zebra|bgpd [FLAG...]
  local name=$1
  shift
  "$bin/lib/frr/$name" -u root -g root -f "$work/$name.conf" -i "$work/$name.pid" -z "$work/zserv" \
    --vty_socket "$work" -P 0 "$@" >>"$work/$name.log" 2>&1 &
  until_true 15 test -S "$work/$name.vty" || { cat "$work/$name.log" >&2; untried "no $name"; }
}
start_gobgpd() { # start_gobgpd [FLAG...]
  nsenter --target "$other" --net "$bin/bin/gobgpd" -f "$work/gobgpd.toml" \
    --api-hosts 127.0.0.1:50051 --pprof-disable -l error "$@" >"$work/gobgpd.log" 2>&1 &
  gobgpd=$!
  until_true 15 gobgp neighbor || { cat "$work/gobgpd.log" >&2; untried 'gobgpd did not start'; }
}

ip link add br100 type bridge
ip link add vxlan100 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning
ip link add port100 type veth peer name port101
for name in vxlan100 port100; do ip link set "$name" master br100; done
for name in br100 vxlan100 port100 port101; do ip link set "$name" up; done
cat >"$work/bgpd.conf" <<'END'
router bgp 65000
 bgp router-id 192.0.2.1
 no bgp default ipv4-unicast
 neighbor 192.0.2.2 remote-as 65000
 neighbor 192.0.2.2 timers connect 1
 address-family l2vpn evpn
  neighbor 192.0.2.2 activate
  advertise-all-vni
END
cat >"$work/gobgpd.toml" <<'END'
[global.config]
as = 65000
router-id = "192.0.2.2"
[[neighbors]]
[neighbors.config]
neighbor-address = "192.0.2.1"
peer-as = 65000
[neighbors.transport.config]
passive-mode = true
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
END
start_frr zebra
start_frr bgpd
echo "FRR: $(vtysh 'show version' | head -1); GoBGP: $("$bin/bin/gobgp" --version)"

known=0
# Makes the bridge know this many MAC addresses behind its port, and waits until FRR has them.
learn() {
  local to=$1
  for ((mac = known; mac < to; mac++)); do
    printf 'fdb add 02:00:00:00:%02x:%02x dev port100 master dynamic\n' $((mac >> 8)) $((mac & 255))
  done >"$work/batch"
  bridge -batch "$work/batch" || untried 'the bridge took no entries'
  known=$to
  until_true 30 frr_has "$to" || untried 'FRR did not take the entries'
}
frr_has() {
  [ "$(vtysh 'show bgp l2vpn evpn route type macip' | grep -cF '*> [2]:')" -ge "$1" ]
}
gobgp_has() {
  local have
  have=$(gobgp global rib summary -a evpn | sed -n 's/.*Destination: \([0-9]*\).*/\1/p')
  [ "${have:-0}" -ge "$1" ]
}
# The processor time a process has used, in ticks (hundredths of a second).
ticks() {
  local fields
  read -r -a fields <"/proc/$1/stat"
  echo $((fields[13] + fields[14]))
}

used=0
# Sets `used` to the ticks a new gobgpd uses until it has all.
measure() {
  local before from=$SECONDS
  start_gobgpd
  before=$(ticks "$gobgpd")
  until_true 100 gobgp_has "$1" || untried "not all of $1 routes came within 100 s"
  used=$(($(ticks "$gobgpd") - before))
  echo "$1 routes: $((used * 10)) ms of processor time, $((SECONDS - from)) s on the clock"
  kill -9 "$gobgpd"
  wait "$gobgpd" 2>/dev/null
}

learn 2000
measure 2000
few=$used
[ "$few" -gt 0 ] || few=1
learn 4000
measure 4000
learn 8000
measure 8000
echo "four times the routes take $((used * 10 / few)) tenths of the processor time, linear would be 40"
[ "$used" -gt $((few * 8)) ] || failed 'the time no longer grows much faster than the routes'
echo 'AS STATED: the time for type 2 routes grows far faster than their number'
