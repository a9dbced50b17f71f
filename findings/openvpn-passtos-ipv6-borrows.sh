#!/bin/bash
# Software: OpenVPN 2.6.14 (Debian 12: openvpn 2.6.14-0+deb12u2), point to point over UDP and IPv4 with
#   `--passtos` and both families inside. ping (iputils-ping 20221126) sends, nft counts.
# Input: pings through the tunnel, in turn: IPv4 with DSCP EF (46); IPv6 with DSCP 0, CS1 (8) and EF; IPv4
#   with CS1; IPv6 with DSCP 0 and EF.
# Expected: the manual says that --passtos gives the tunnel packet the TOS field of the payload. So each
#   tunnel packet has the DSCP of the ping in it; or, if IPv6 is not read, DSCP 0.
# Seen: a tunnel packet with IPv6 in it has the DSCP of the IPv4 packet that went before it, whosever that was:
#   EF for all three after the IPv4 one with EF, CS1 for both after the one with CS1. So a bulk
#   transfer over IPv6 goes as voice when a call over IPv4 goes beside it, and voice over IPv6 goes as
#   what comes last. Only IPv4 is read, and the socket keeps what it was told.
# Exits 0 while that is so, 1 when it is not, 2 when it could not be tried. Needs root.
set -u

if [ "${1-}" != inside ]; then
  [ "$(id -u)" = 0 ] || { echo 'not tried: needs root, for namespaces of its own' >&2; exit 2; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  self=$(readlink -f "$0")
  cd "$work" || exit 2
  apt-get -qq -o APT::Sandbox::User=root download openvpn=2.6.14-0+deb12u2 liblzo2-2=2.10-2 \
    libpkcs11-helper1=1.29.0-1 libnl-genl-3-200=3.7.0-0.2+b1 libnl-3-200=3.7.0-0.2+b1 \
    libcap-ng0=0.8.3-1+b3 iputils-ping=3:20221126-1+deb12u1 ||
    { echo 'not tried: apt-get could not bring these versions (apt-get update first?)' >&2; exit 2; }
  for package in ./*.deb; do dpkg -x "$package" root || exit 2; done
  # All that is started and made in here ends with its first process.
  timeout -s KILL 100 unshare --mount --net --pid --fork --kill-child --mount-proc \
    bash "$self" inside "$work"
  exit $?
fi

work=$2
root=$work/root
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
openvpn=$root/usr/sbin/openvpn
ping=$root/bin/ping
[ -x "$ping" ] || ping=$root/usr/bin/ping

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

# Two hosts: here (192.0.2.1), and the namespace of a process that sleeps (192.0.2.2).
unshare --net sleep 200 &
other=$!
has_left() { [ "$(readlink "/proc/$other/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
until_true 10 has_left || untried 'no second namespace'
there() { nsenter --target "$other" --net "$@"; }
ip link add v0 type veth peer name v1 || untried 'no veth'
ip link set v1 netns "$other" || untried 'no second namespace'
ip address add 192.0.2.1/24 dev v0
ip link set v0 up
there ip address add 192.0.2.2/24 dev v1
there ip link set v1 up
there nft -f - <<'END' || untried 'no nft'
table ip count {
  chain arrives {
    type filter hook input priority 0; policy accept;
    udp dport 1194 ip dscp 0 counter comment "0"
    udp dport 1194 ip dscp cs1 counter comment "CS1"
    udp dport 1194 ip dscp ef counter comment "EF"
  }
}
END
count() { there nft list ruleset | sed -n "s/.*counter packets \([0-9]*\) .*comment \"$1\"\$/\1/p"; }

"$openvpn" --version | head -n 1
"$openvpn" --genkey secret "$work/key" || untried 'openvpn makes no key'
common=(--dev tun0 --proto udp4 --port 1194 --secret "$work/key" --cipher AES-256-CBC --verb 1 --passtos)
nsenter --target "$other" --net "$openvpn" "${common[@]}" --local 192.0.2.2 --remote 192.0.2.1 \
  --ifconfig 198.51.100.2 198.51.100.1 --ifconfig-ipv6 2001:db8::2/64 2001:db8::1 >"$work/there.log" 2>&1 &
"$openvpn" "${common[@]}" --local 192.0.2.1 --remote 192.0.2.2 \
  --ifconfig 198.51.100.1 198.51.100.2 --ifconfig-ipv6 2001:db8::1/64 2001:db8::2 >"$work/here.log" 2>&1 &
for address in 198.51.100.2 2001:db8::2; do
  until_true 20 "$ping" -c 1 -W 1 "$address" || { cat "$work"/*.log >&2; untried "no tunnel to $address"; }
done

# outside ADDRESS TOS: the DSCP that most of the tunnel packets of five such pings have. More of them may come: the
# kernel's own, such as router solicitations.
outside() {
  local name most=0 answer='' seen
  declare -A before
  for name in 0 CS1 EF; do before[$name]=$(count "$name"); done
  "$ping" -c 5 -i 0.2 -W 5 -Q "$2" "$1" >"$work/ping" || { cat "$work/ping" >&2; untried 'pings are lost'; }
  for name in 0 CS1 EF; do
    seen=$(($(count "$name") - before[$name]))
    if [ "$seen" -gt "$most" ]; then
      most=$seen
      answer=$name
    fi
  done
  [ "$most" -ge 5 ] || untried 'the tunnel packets are not alike'
  echo "$answer"
}
code=0
# is ADDRESS TOS NAME WANTED: five pings with this TOS (the DSCP of this name), and what is outside.
is() {
  local got
  got=$(outside "$1" "$2") || exit 2
  printf '%-13s inside %-4s outside %s\n' "$1" "$3" "$got"
  [ "$got" = "$4" ] || { echo "CHANGED: not $4"; code=1; }
}
is 198.51.100.2 0xb8 EF EF
is 2001:db8::2 0 0 EF
is 2001:db8::2 0x20 CS1 EF
is 2001:db8::2 0xb8 EF EF
is 198.51.100.2 0x20 CS1 CS1
is 2001:db8::2 0 0 CS1
is 2001:db8::2 0xb8 EF CS1
[ "$code" = 0 ] && echo 'AS STATED: with IPv6 inside, the DSCP outside is that of the last IPv4 packet'
exit "$code"
