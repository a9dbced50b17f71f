#!/bin/bash
# Software: FRR 8.4.4 (Debian 12: frr 8.4.4-1.1~deb12u2), zebra and bgpd, as a VTEP with
#   `advertise-all-vni`, one kernel VXLAN device of VNI 100 and its bridge. No neighbour.
# Input: three MAC addresses, each with one IP address, and nothing else: bridge entries of
#   02:00:00:00:01:1f, :2e and :4d and neighbours for 192.0.2.31, .46 and .77.
# Expected: `show bgp l2vpn evpn route detail` shows those of `show bgp l2vpn evpn route`, at more length.
# Seen: it also has entries for MAC addresses that nobody has, such as 02:00:00:00:01:00 and
#   00:00:00:00:00:00, some of them several times, each with the line "Paths: (0 available, no best path)". They are
#   the forks of the tree that bgpd keeps its routes in: an address cut off where two real ones
#   part. The last line does not count them, the output with `json` and without `detail` has none. The
#   manual does not mention them, so who collects MAC addresses from the lines "BGP routing table
#   entry for" finds ones that are not there.
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
  timeout -s KILL 110 unshare --mount --net --pid --fork --kill-child --mount-proc \
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
vtysh() { "$bin/bin/vtysh" --vty_socket "$work" --config_dir "$work" -c "$1"; }
start_frr() { # start_frr zebra|bgpd
  "$bin/lib/frr/$1" -u root -g root -f "$work/$1.conf" -i "$work/$1.pid" -z "$work/zserv" \
    --vty_socket "$work" -P 0 >>"$work/$1.log" 2>&1 &
  until_true 15 test -S "$work/$1.vty" || { cat "$work/$1.log" >&2; untried "no $1"; }
}

ip link set lo up
ip address add 203.0.113.1/32 dev lo
ip link add br100 type bridge || untried 'no bridge'
ip link add vxlan100 type vxlan id 100 local 203.0.113.1 dstport 4789 nolearning || untried 'no vxlan'
ip link add port100 type veth peer name port101 || untried 'no veth'
# Routes of our own three addresses only: the kernel is not to add link-local ones.
for name in br100 vxlan100 port100 port101; do ip link set "$name" addrgenmode none; done
for name in vxlan100 port100; do ip link set "$name" master br100; done
for name in br100 vxlan100 port100 port101; do ip link set "$name" up; done
cat >"$work/bgpd.conf" <<'END'
router bgp 65000
 bgp router-id 203.0.113.1
 no bgp default ipv4-unicast
 address-family l2vpn evpn
  advertise-all-vni
END
start_frr zebra
start_frr bgpd
vtysh 'show version' | head -1

for last in 1f:31 2e:46 4d:77; do
  mac=02:00:00:00:01:${last%:*}
  bridge fdb add "$mac" dev port100 master static || untried 'the bridge took no entry'
  ip neighbor add "192.0.2.${last#*:}" lladdr "$mac" dev br100 || untried 'the kernel took no neighbour'
done
plain() { vtysh 'show bgp l2vpn evpn route type macip' | grep -oE '\[2\]:\[0\]:\[48\]:.*' | sort; }
has_six() { [ "$(plain | wc -l)" = 6 ]; }
until_true 30 has_six || { plain >&2; untried 'not six routes of type 2'; }

echo '--- show bgp l2vpn evpn route type macip:'
plain
detail=$(vtysh 'show bgp l2vpn evpn route detail')
echo '--- show bgp l2vpn evpn route detail, entries and paths:'
echo "$detail" | grep -E '^(BGP routing table entry|Paths:|Displayed)'
# MAC addresses of the entries, those without any path, and those the bridge or FRR itself never had.
entries() { grep -oE '^BGP routing table entry for [^ ]*:\[2\]:\[0\]:\[48\]:\[[0-9a-f:]*' | sed 's/.*\[//'; }
phantoms=$(echo "$detail" | grep -B 1 -F 'Paths: (0 available' | entries | sort -u |
  grep -vE '^02:00:00:00:01:(1f|2e|4d)$')
echo "--- MAC addresses in it that nobody has: $(echo "$phantoms" | tr '\n' ' ')"
json=$(vtysh 'show bgp l2vpn evpn route detail json')
echo "$json" | grep -qF '02:00:00:00:01:1f' || untried 'no routes in the output with json'
[ -n "$phantoms" ] || failed 'the entries are those of the routes'
echo "$detail" | grep -q '^Displayed 7 prefixes (7 paths)' || failed 'the last line does not count seven prefixes'
for mac in $phantoms; do
  echo "$json" | grep -qF "$mac" && failed "the output with json has $mac, too"
done
echo 'AS STATED: the detailed output has entries for MAC addresses that nobody announced'
