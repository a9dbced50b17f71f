/**
 * Socket addresses in the arena (`struct sockaddr_in`, ip(7)). A place for one is
 * {@link SOCKADDR_BYTES} long, which has room for those of IPv6 too.
 * @module
 */
import { AF_INET } from '../../sys/libc/constants.ts';

/** Room for any socket address of ours. */
export const SOCKADDR_BYTES = 32;
/** `struct sockaddr_in`. */
export const SOCKADDR_IN_BYTES = 16;
const PORT_OFFSET = 2;
/** Of the four bytes of IPv4. */
const ADDRESS_OFFSET = 4;

/** Writes an IPv4 one; `address` is a u32. */
export function emitSockaddr(
  view: DataView,
  at: number,
  address: number,
  port: number,
  family: number = AF_INET,
): void {
  view.setUint16(at, family, true);
  view.setUint16(at + PORT_OFFSET, port);
  view.setUint32(at + ADDRESS_OFFSET, address);
}

/** The IPv4 address of the one at `at`, u32. */
export function getSockaddrIpv4(view: DataView, at: number): number {
  return view.getUint32(at + ADDRESS_OFFSET);
}

/** Whether both name the same host, ports left aside. */
export function isSameHost(view: DataView, a: number, b: number): boolean {
  return (
    view.getUint16(a) === view.getUint16(b) && getSockaddrIpv4(view, a) === getSockaddrIpv4(view, b)
  );
}
