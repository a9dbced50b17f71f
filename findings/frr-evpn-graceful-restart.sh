#!/bin/bash
# Software: FRR 8.4.4 (Debian 12: frr 8.4.4-1.1~deb12u2), bgpd alone, helping a neighbour to restart
#   gracefully (RFC 4724; helper is its default). GoBGP 3.10.0 is that neighbour.
# Input: GoBGP (started with -r, as after a restart) offers graceful restart for IPv4
#   unicast and L2VPN EVPN, forwarding preserved in both, restart time 60 s, and announces a route in
#   each. Then its process is killed: no NOTIFICATION, the connection just ends.
# Expected: bgpd keeps the routes of both families as stale for up to 60 s: `show bgp neighbors` says
#   "preserved" for both.
# Seen: it says so for both, and keeps the IPv4 route as stale, but drops the EVPN route at once: in
#   FRR, the code that keeps stale routes leaves L2VPN out. The manual of 8.4.4 does not say so.
#   (Issue 9749 of FRRouting/frr asks for it; pull request 19778 of 2025-10 adds it.)
# Exits 0 while that is so, 1 when it is not, 2 when it could not be tried. Needs root.
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
  timeout -s KILL 170 unshare --mount --net --pid --fork --kill-child --mount-proc \
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

cat >"$work/bgpd.conf" <<'END'
router bgp 65000
 bgp router-id 192.0.2.1
 neighbor 192.0.2.2 remote-as 65000
 neighbor 192.0.2.2 timers connect 1
 address-family l2vpn evpn
  neighbor 192.0.2.2 activate
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
[neighbors.graceful-restart.config]
enabled = true
restart-time = 60
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-unicast"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
END
start_frr bgpd -Z
start_gobgpd -r
echo "FRR: $(vtysh 'show version' | head -1); GoBGP: $("$bin/bin/gobgp" --version)"

has_ipv4() { vtysh 'show bgp ipv4 unicast' | grep -qF '198.51.100.0/24'; }
has_stale_ipv4() { vtysh 'show bgp ipv4 unicast' | grep -qE '^ *S.*198\.51\.100\.0/24'; }
has_evpn() { vtysh 'show bgp l2vpn evpn' | grep -qF '[2]:[0]:[48]:[02:00:00:00:00:01]'; }
has_both() { has_ipv4 && has_evpn; }
is_down() { ! vtysh 'show bgp neighbors 192.0.2.2' | grep -q 'BGP state = Established'; }

gobgp global rib add -a ipv4 198.51.100.0/24 nexthop 192.0.2.2 || untried 'gobgp refused the route'
gobgp global rib add -a evpn macadv 02:00:00:00:00:01 0.0.0.0 etag 0 label 100 \
  rd 192.0.2.2:100 rt 65000:100 encap vxlan nexthop 192.0.2.2 || untried 'gobgp refused the route'
until_true 60 has_both || untried 'the routes did not reach FRR'
promise=$(vtysh 'show bgp neighbors 192.0.2.2' | grep -A 3 'Remote Restart timer')
echo '--- show bgp neighbors 192.0.2.2 (its graceful restart capability):'
echo "$promise"
echo "$promise" | grep -q 'L2VPN EVPN(preserved)' ||
  failed 'bgpd does not say that EVPN routes are preserved'

kill -9 "$gobgpd"
wait "$gobgpd" 2>/dev/null
until_true 20 is_down || untried 'FRR did not notice that its neighbour is gone'
sleep 2
echo '--- after the kill, show bgp ipv4 unicast:'
vtysh 'show bgp ipv4 unicast'
echo '--- show bgp l2vpn evpn:'
vtysh 'show bgp l2vpn evpn'
has_stale_ipv4 || failed 'the IPv4 route is not kept as stale either'
has_evpn && failed 'the EVPN route is kept'
echo 'AS STATED: the IPv4 route is kept as stale, the EVPN route is dropped at once'
