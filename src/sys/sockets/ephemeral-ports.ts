/**
 * The ports that the kernel gives to sockets which ask for none: net.ipv4.ip_local_port_range less
 * net.ipv4.ip_local_reserved_ports.
 * @module
 */
import { readSysctl } from '../host/sysctl.ts';

/**
 * How many ports a range (`32768 60999`) has without the reserved ones (`8080,9000-9100`).
 * 0 for a range that cannot be read.
 */
export function countPorts(range: string, reserved: string): number {
  const [first = 0, last = -1] = range.trim().split(/\s+/).map(Number);
  if (!(first <= last)) return 0;
  let count = last - first + 1;
  // The kernel prints them sorted and joined, so none counts twice.
  for (const piece of reserved.trim().split(',').filter(Boolean)) {
    const [from = 0, to = from] = piece.split('-').map(Number);
    count -= Math.max(0, Math.min(to, last) - Math.max(from, first) + 1);
  }
  return count;
}

/** The range itself, reserved ports among it; as Linux has it where the kernel does not say. */
export function ephemeralRange(): { first: number; last: number } {
  const range = readSysctl('net/ipv4/ip_local_port_range') ?? '';
  const [first = 0, last = -1] = range.trim().split(/\s+/).map(Number);
  return first <= last ? { first, last } : { first: 32_768, last: 60_999 };
}

/** Ephemeral ports of the namespace that the thread is in; `undefined` where the kernel does not say. */
export function countEphemeralPorts(): number | undefined {
  const range = readSysctl('net/ipv4/ip_local_port_range');
  if (range === null) return undefined;
  return countPorts(range, readSysctl('net/ipv4/ip_local_reserved_ports') ?? '');
}
