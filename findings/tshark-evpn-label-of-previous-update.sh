#!/bin/bash
# Software: tshark and text2pcap 4.0.17 (Debian 12: tshark 4.0.17-0+deb12u3), without any preferences.
# Input: BGP UPDATEs with one EVPN type 2 route each (RFC 7432 7.2), attributes in ascending order of their
#   types (RFC 4271 5): the route in MP_REACH_NLRI (14), its encapsulation in EXTENDED_COMMUNITIES (16). "v" says
#   VXLAN and has the VNI 100 (000064), "m" says MPLS and has the label 100 (000641). One TCP segment each
#   of v; v v; m v.
# Expected: RFC 8365 5.1.3: the three octets are a VNI where the UPDATE's own community says VXLAN, else a label.
# Seen: each route is read by the community of the UPDATE that stands *before* it in the segment, so the first v
#   shows the label 6, and the second, octet for octet the same, the VNI 100. With two passes (-2) the first
#   route is read by the last community of the segment: v alone is right, but of m v both are wrong,
#   VNI 1601 for the label 100 and label 6 for the VNI 100. GoBGP 3.10 and FRR 8.4 write such segments.
#   So a filter for bgp.evpn.nlri.vni misses and finds routes by what they happen to be sent beside.
# Exits 0 while that is so, 1 when it is not, 2 when it could not be tried.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
wireshark=4.0.17-0+deb12u3
apt-get -qq -o APT::Sandbox::User=root download tshark=$wireshark wireshark-common=$wireshark \
  libwireshark16=$wireshark libwiretap13=$wireshark libwsutil14=$wireshark libwireshark-data=$wireshark \
  libc-ares2=1.18.1-3 liblua5.2-0=5.2.4-3 libsmi2ldbl=0.4.8+dfsg2-16 libsnappy1v5=1.1.9-3 \
  libbrotli1=1.0.9-2+b6 libnghttp2-14=1.52.0-1+deb12u3 libpcap0.8=1.10.3-1 \
  libglib2.0-0=2.74.6-2+deb12u9 libpcre2-8-0=10.42-1+deb12u2 libxml2=2.9.14+dfsg-1.3~deb12u6 libicu72=72.1-3+deb12u1 ||
  { echo 'not tried: apt-get could not bring these versions (apt-get update first?)' >&2; exit 2; }
for package in ./*.deb; do dpkg -x "$package" root || exit 2; done
bin=$work/root/usr/bin
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu
export HOME=$work WIRESHARK_DATA_DIR=$work/root/usr/share/wireshark WIRESHARK_PLUGIN_DIR=$work/none

# update LABEL TUNNEL-TYPE: one UPDATE in hexadecimal, the route's three octets and its encapsulation given.
update() {
  local route reach attributes body
  # Route distinguisher 192.0.2.2:100, no ESI, tag 0, a MAC address, no IP address, the label.
  route=0001c00002020064'00000000000000000000'00000000'30020000000001'00$1
  # AFI 25, SAFI 70, next hop 192.0.2.2, one route of type 2.
  reach=0019'46'04c0000202'00'02$(printf %02x $((${#route} / 2)))$route
  # ORIGIN, AS_PATH (empty), LOCAL_PREF 100, the route, route target 65000:100 and the encapsulation.
  attributes=40010100'400200'40050400000064
  attributes+=800e$(printf %02x $((${#reach} / 2)))$reach
  attributes+=c01010'0002fde800000064'030c00000000$2
  body=0000$(printf %04x $((${#attributes} / 2)))$attributes
  printf 'f%.0s' {1..32}
  printf '%04x02%s' $((19 + ${#body} / 2)) "$body"
}
vxlan=$(update 000064 0008)
mpls=$(update 000641 000a)

# shown SEGMENT [FLAG]: what tshark calls the three octets of each route.
shown() {
  printf '000000 %s\n' "$(echo "$1" | sed 's/../& /g')" >segment
  "$bin/text2pcap" -q -T 179,40000 segment segment.pcap >/dev/null 2>&1 ||
    { echo 'not tried: text2pcap does not run here' >&2; exit 2; }
  shift
  "$bin/tshark" -r segment.pcap "$@" -V 2>/dev/null |
    sed -n 's/^ *VNI: /VNI /p; s/.*= MPLS Label 1: /label /p' | paste -s -d ,
}
"$bin/tshark" --version 2>/dev/null | head -n 1
code=0
# is NAME SEGMENT WANTED [FLAG]
is() {
  local name=$1 segment=$2 wanted=$3 got
  shift 3
  got=$(shown "$segment" "$@") || exit 2
  printf '%-5s%-4s %s\n' "$name" "$*" "$got"
  [ "$got" = "$wanted" ] || { echo "CHANGED: not '$wanted'"; code=1; }
}
[ -n "$(shown "$mpls")" ] || { echo 'not tried: EVPN is not read at all' >&2; exit 2; }
is m "$mpls" 'label 100'
is v "$vxlan" 'label 6'
is 'v v' "$vxlan$vxlan" 'label 6,VNI 100'
is 'm v' "$mpls$vxlan" 'label 100,label 6'
is v "$vxlan" 'VNI 100' -2
is 'v v' "$vxlan$vxlan" 'VNI 100,VNI 100' -2
is 'm v' "$mpls$vxlan" 'VNI 1601,label 6' -2
exit $code
