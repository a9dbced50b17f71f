/**
 * Addresses of either family between text, sockets and routes.
 * @module
 */
import { formatIpv4, parseIpv4 } from '../../../net/ipv4.ts';
import { formatIpv6, parseIpv6 } from '../../../net/ipv6.ts';
import { hostBytes, hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Ip } from '../../../wire/bgp/address.ts';

/** IPv4 as u32, IPv6 as 16 bytes. @throws AddressError */
export function parseHostAddress(text: string): Ip {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

export function formatIp(ip: Ip): string {
  return typeof ip === 'number' ? formatIpv4(ip) : formatIpv6(ip);
}

/** An underlay address as routes have it. */
export function ipOf(host: UnderlayAddress): Ip {
  return typeof host === 'string' ? hostBytes(host) : host;
}

/** The same in reverse. */
export function hostOfIp(ip: Ip): UnderlayAddress {
  return typeof ip === 'number' ? ip : hostOfBytes(ip);
}

/** As settings have it: no zone, and IPv4 as IPv4 also where the socket was IPv6's. */
export function plainAddress(text: string): string {
  const bare = text.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, '');
  try {
    return formatIp(parseHostAddress(bare));
  } catch {
    return bare;
  }
}
