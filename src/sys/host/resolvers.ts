/**
 * The name servers that this machine asks (resolv.conf(5)).
 * @module
 */
import { readFileSync } from 'node:fs';
import { parseIpv4 } from '../../net/ipv4.ts';

/** systemd-resolved names itself in the first, on loopback, and what it asks in the second. */
const FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
const RESOLVERS_MAX = 3;

/** The IPv4 name servers in a resolv.conf that others than this host can ask too. */
export function parseResolvers(text: string): number[] {
  const found: number[] = [];
  for (const line of text.split('\n')) {
    const word = /^\s*nameserver\s+([0-9.]+)\s*$/.exec(line)?.[1];
    if (word === undefined) continue;
    try {
      const address = parseIpv4(word);
      if (address !== 0 && address >>> 24 !== 127) found.push(address);
    } catch {
      // Not an address; the C library leaves it out too.
    }
  }
  return [...new Set(found)].slice(0, RESOLVERS_MAX);
}

/** The IPv4 name servers of this machine that containers can ask too, at most three. */
export function readResolvers(): number[] {
  for (const file of FILES) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch {
      continue; // No such file: the next one may say.
    }
    const found = parseResolvers(text);
    if (found.length > 0) return found;
  }
  return [];
}
