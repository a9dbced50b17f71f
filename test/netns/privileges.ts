/** What a test needs from the machine, said as the reason of a skip. @module */
import { closeSync, openSync } from 'node:fs';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';

/** False when namespaces can be made here, else the sentence for `t.test(name, { skip })`. */
export function skipWithoutNamespaces(): string | false {
  try {
    NetworkNamespace.create().close();
    return false;
  } catch (error) {
    return `needs root (or a user namespace) to make network namespaces: ${(error as Error).message}`;
  }
}

/** As {@link skipWithoutNamespaces}, and /dev/net/tun must be there and openable. */
export function skipWithoutTun(): string | false {
  const reason = skipWithoutNamespaces();
  if (reason !== false) return reason;
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return false;
  } catch (error) {
    return `needs /dev/net/tun: ${(error as Error).message}`;
  }
}

/** As {@link skipWithoutTun}, and the kernel must know IPv4 packets of more than 64 kB. */
export async function skipWithoutLongPackets(): Promise<string | false> {
  const reason = skipWithoutTun();
  if (reason !== false) return reason;
  const netlink = Netlink.open();
  try {
    const { gsoIpv4MaxSize } = await netlink.link('lo');
    return gsoIpv4MaxSize === 0 && 'needs Linux 6.3, which knows IPv4 packets of more than 64 kB';
  } finally {
    netlink.close();
  }
}
