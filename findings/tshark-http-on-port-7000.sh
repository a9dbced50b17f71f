#!/bin/bash
# Software: tshark and text2pcap 4.0.17 (Debian 12: tshark 4.0.17-0+deb12u3), without any preferences.
# Input: one TCP segment with one whole HTTP request, to port 7001 and to port 7000 (a port that Cassandra,
#   AirPlay and many a test server use).
# Expected: both are shown alike. TShark finds HTTP by what it looks like on ports that it has no protocol for.
# Seen: on 7001 it is `HTTP ... GET / HTTP/1.1`. On 7000 no protocol above TCP is named and the request is
#   nowhere: TShark gives the port to Gryphon, a protocol of a maker of car test devices, which takes
#   two letters of the request for a length and waits for the rest (`TCP segment of a reassembled PDU`).
#   With `-d tcp.port==7000,http` the request is there again.
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

printf 'GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n' | od -Ax -tx1 -v >request
for port in 7000 7001; do
  "$bin/text2pcap" -q -T "40000,$port" request "$port.pcap" >/dev/null 2>&1 ||
    { echo 'not tried: text2pcap does not run here' >&2; exit 2; }
done
"$bin/tshark" --version 2>/dev/null | head -n 1
shown() { "$bin/tshark" -r "$@" 2>/dev/null; }
elsewhere=$(shown 7001.pcap)
here=$(shown 7000.pcap)
told=$(shown 7000.pcap -d tcp.port==7000,http)
printf 'port 7001: %s\nport 7000: %s\nwith -d:   %s\n' "$elsewhere" "$here" "$told"
case $elsewhere in *HTTP*'GET / HTTP/1.1'*) ;; *) echo 'not tried: HTTP is not read at all' >&2; exit 2 ;; esac
case $told in *HTTP*'GET / HTTP/1.1'*) ;; *) echo 'CHANGED: -d does not help'; exit 1 ;; esac
case $here in
  *'GET /'*) echo 'CHANGED: the request on port 7000 is shown'; exit 1 ;;
  *'segment of a reassembled PDU'*) exit 0 ;;
  *) echo 'CHANGED: something else is shown'; exit 1 ;;
esac
