/**
 * The kernel's own way to several links: a bond of them, with a VXLAN device above it in a bridge.
 * @module
 */
import { spawnSync } from 'node:child_process';
import type { Lab, LabHost } from '../src/demo/lab.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { addressOn } from '../test/control/underlays/lab.ts';

const BOND = 'fwbond';
const VXLAN = 'fwvx';
const BRIDGE = 'fwbr';
const VNI = '77';
/** The bond's own network, and that of the containers above. */
const OUTER = '172.29.0.';
const INNER = 0x0a4d0001;
/** So often the kernel looks whether a cable is in, ms; the article's figure. */
const MIIMON_MS = '100';

/** A mode as `ip link add type bond` takes it. */
export type BondMode = { title: string; words: readonly string[] };

const xor = (policy: string): BondMode => ({
  title: `kernel bond: balance-xor, ${policy}`,
  words: ['mode', 'balance-xor', 'xmit_hash_policy', policy],
});

export const BOND_MODES: readonly BondMode[] = [
  { title: 'kernel bond: active-backup', words: ['mode', 'active-backup'] },
  ...['layer2', 'layer2+3', 'layer3+4'].map(xor),
  { title: 'kernel bond: balance-rr', words: ['mode', 'balance-rr'] },
];

/** Whether this kernel has bonds and VXLAN. */
export function hasBond(): boolean {
  return ['bond', 'vxlan id 1 dstport 4789'].every(
    (type) =>
      spawnSync('unshare', ['-n', 'ip', 'link', 'add', BOND, 'type', ...type.split(' ')]).status ===
      0,
  );
}

function ip(host: LabHost, ...words: string[]): void {
  const result = host.run(() => spawnSync('ip', words, { encoding: 'utf8' }));
  if (result.status !== 0) throw new Error(`ip ${words.join(' ')}: ${result.stderr}`);
}

/** Puts the first `count` underlays of both hosts into a bond each, runs, and takes all back. */
export async function withBond<T>(
  lab: Lab,
  count: number,
  { words }: BondMode,
  run: () => Promise<T>,
): Promise<T> {
  try {
    for (const host of lab.hosts) await raise(lab, host, count, words);
    return await run();
  } finally {
    for (const host of lab.hosts) await lower(host, count);
  }
}

async function raise(
  lab: Lab,
  host: LabHost,
  count: number,
  words: readonly string[],
): Promise<void> {
  const other = lab.host(1 - host.index);
  ip(host, 'link', 'add', BOND, 'type', 'bond', ...words, 'miimon', MIIMON_MS);
  for (let i = 0; i < count; i++) {
    ip(host, 'address', 'flush', 'dev', `eth${i}`);
    ip(host, 'link', 'set', `eth${i}`, 'down');
    ip(host, 'link', 'set', `eth${i}`, 'master', BOND);
  }
  ip(host, 'address', 'add', `${OUTER}${host.index + 1}/24`, 'dev', BOND);
  ip(host, 'link', 'set', BOND, 'up');
  const [local, remote] = [`${OUTER}${host.index + 1}`, `${OUTER}${other.index + 1}`];
  const ends = ['local', local, 'remote', remote, 'dstport', '4789'];
  ip(host, 'link', 'add', VXLAN, 'type', 'vxlan', 'id', VNI, ...ends);
  ip(host, 'link', 'add', BRIDGE, 'mtu', '1450', 'type', 'bridge');
  ip(host, 'link', 'set', VXLAN, 'mtu', '1450', 'master', BRIDGE, 'up');
  ip(host, 'link', 'set', BRIDGE, 'up');
  for (const container of host.containers) {
    await container.attach({ bridge: BRIDGE, address: INNER + host.index, length: 24 });
  }
}

async function lower(host: LabHost, count: number): Promise<void> {
  for (const container of host.containers) await container.detach();
  for (const device of [BRIDGE, VXLAN, BOND]) {
    if ((await host.netlink.findLink(device)) !== undefined) await host.netlink.deleteLink(device);
  }
  for (let i = 0; i < count; i++) {
    ip(host, 'link', 'set', `eth${i}`, 'up');
    ip(host, 'address', 'replace', `${formatIpv4(addressOn(i, host))}/16`, 'dev', `eth${i}`);
  }
}
