#!/bin/bash
# Software: FRR 8.4.4 (Debian 12: frr 8.4.4-1.1~deb12u2), zebra and bgpd, as a VTEP with
#   `advertise-all-vni` and one kernel VXLAN device of VNI 100. GoBGP 3.10.0 only announces.
# Input: one EVPN type 5 route (IP prefix, RFC 9136) for 198.51.100.0/24 whose route target is that
#   of the VNI 100, which is a layer-2 network here; next hop 192.0.2.2, encapsulation VXLAN.
# Expected: a type 5 route says nothing about who takes part in a layer-2 network. RFC 7432 (7.3,
#   11.1) and RFC 8365 (5.1.3) have a type 3 route say so, with the address in its tunnel attribute.
#   So the VNI has no remote VTEP.
# Seen: `show evpn vni 100` lists the *prefix* 198.51.100.0 as a remote VTEP (with `flood: -`): an
#   address where nobody has a VTEP. The same route with another route target leaves it alone, and
#   the withdrawal takes it away again.
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
start_gobgpd
echo "FRR: $(vtysh 'show version' | head -1); GoBGP: $("$bin/bin/gobgp" --version)"

knows_vni() { vtysh 'show evpn vni 100' | grep -q 'VNI: 100'; }
has_route() { vtysh 'show bgp l2vpn evpn route type prefix' | grep -qF "[198.51.100.0]"; }
has_no_route() { ! has_route; }
is_vtep() { vtysh 'show evpn vni 100' | grep -qE '^ *198\.51\.100\.0 flood'; }
is_no_vtep() { ! is_vtep; }
announce() { # announce add|del ROUTE-TARGET
  gobgp global rib "$1" -a evpn prefix 198.51.100.0/24 etag 0 label 100 rd 192.0.2.2:100 \
    rt "$2" encap vxlan nexthop 192.0.2.2 || untried 'gobgp refused the route'
}

until_true 20 knows_vni || untried 'FRR does not know the VNI'
announce add 65000:999
until_true 40 has_route || untried 'the route did not reach FRR'
sleep 3
echo '--- with route target 65000:999:'
vtysh 'show evpn vni 100'
is_vtep && failed 'a VTEP already with a route target that is not of this VNI'
announce del 65000:999
until_true 20 has_no_route || untried 'the withdrawal did not reach FRR'

announce add 65000:100
until_true 20 has_route || untried 'the second route did not reach FRR'
until_true 15 is_vtep
echo '--- with route target 65000:100:'
vtysh 'show bgp l2vpn evpn route type prefix'
vtysh 'show evpn vni 100'
echo '--- bridge fdb show dev vxlan100:'
bridge fdb show dev vxlan100
is_vtep || failed 'the prefix of the type 5 route is not listed as a remote VTEP'
announce del 65000:100
until_true 15 is_no_vtep || failed 'the withdrawal leaves it listed'
echo 'AS STATED: the prefix of a type 5 route is listed as a remote VTEP of the layer-2 VNI'
