/**
 * Two hosts and a container on each: our loop is the tunnel endpoint of one, somebody else's that of the
 * other. What the containers say to each other, and what is looked at meanwhile.
 */
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import type { LabContainer, LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { formatMac } from '../../../src/net/mac.ts';
import { PacketSocket } from '../../../src/sys/sockets/packet-socket.ts';
import { unaccounted } from '../../../src/table/counters.ts';
import { runEcho, runTcpPair, runUdpPair } from '../../../src/traffic/run.ts';
import { testProgram } from '../../netns/relay.ts';
import { malformed } from '../../support/dissect.ts';
import { giveIpv6, ip, turnOnIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { talk6 } from '../../support/talk6.ts';
import type { NetworkOrder, NetworkStart } from './network-main.ts';

export const VNI = 4242;
export const PORT = 4789;
export const OVERHEAD_BYTES = 50;
export const [BRIDGE, DEVICE] = ['br-blue', 'fwn0'];
export const [NEAR, FAR] = [0x0a09_0001, 0x0a09_0002];
const [NEAR6, FAR6] = ['fd09::1', 'fd09::2'];
const [NEAR_ALL, FAR_ALL] = [
  ['10.9.0.1', NEAR6],
  ['10.9.0.2', FAR6],
];
const TCP_BYTES = 4 * 1024 * 1024;
const ECHO = { count: 3, size: 1400 };
/** Frames of the underlay that are kept for a look at them. */
const FRAMES_KEPT = 2000;
const LOOK_MS = 10;
const BOOKS_MS = 5000;

type Counters = Record<string, number>;
export type Near = Awaited<ReturnType<typeof startNear>>;

/** Our end, as a program in the host's namespace. */
export async function startNear(host: LabHost, start: NetworkStart) {
  const program = testProgram('interop/network/network-main.js');
  const child = host.spawn(process.execPath, [program, JSON.stringify(start)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (child.stdout === null) throw new Error('no standard output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error('our end of the network has ended');
    return line.value;
  };
  await next();
  const order = async (what: NetworkOrder): Promise<unknown> => {
    child.stdin?.write(`${JSON.stringify(what)}\n`);
    return JSON.parse(await next()) as unknown;
  };
  return {
    order,
    counters: async () => (await order({ do: 'counters' })) as Counters,
    end: () => child.stdin?.end(),
  };
}

/** Puts our end's device into a bridge of its host. */
export async function addNearBridge({ netlink }: LabHost, mtu: number): Promise<void> {
  await netlink.createBridge(BRIDGE, { mtu });
  await netlink.setLink(DEVICE, { mtu, master: BRIDGE, up: true });
  await netlink.setLink(BRIDGE, { up: true });
}

/** Gives both containers their IPv6; returns their MACs. */
export async function addIpv6(near: LabContainer, far: LabContainer): Promise<[number, number]> {
  for (const [node, address] of [
    [near, NEAR6],
    [far, FAR6],
  ] as const) {
    turnOnIpv6(node);
    giveIpv6(node, `${address}/64`);
  }
  return [(await near.netlink.link('eth0')).address, (await far.netlink.link('eth0')).address];
}

/** Our end knows both containers, and the far one knows ours by entries of its own. */
export async function nameStations(
  end: Near,
  { near, far }: { near: LabContainer; far: LabContainer },
  [nearMac, farMac]: readonly [number, number],
): Promise<void> {
  await far.netlink.addNeighbour('eth0', NEAR, nearMac);
  ip(far, '-6', 'neigh', 'add', NEAR6, 'lladdr', formatMac(nearMac), 'dev', 'eth0');
  await end.order({ do: 'station', at: far.host.address, mac: farMac, addresses: FAR_ALL });
  await end.order({ do: 'station', at: near.host.address, mac: nearMac, addresses: NEAR_ALL });
}

/** Frames of VXLAN that pass a host's underlay, kept while `work` runs. */
export async function watched(host: LabHost, work: () => Promise<void>): Promise<Buffer[]> {
  const eth0 = (await host.netlink.link('eth0')).index;
  const socket = host.run(() => new PacketSocket(eth0));
  const frames: Buffer[] = [];
  const look = (): void => {
    for (let seen = socket.read(); seen !== undefined; seen = socket.read()) {
      const bytes = Buffer.from(seen.bytes);
      const isVxlan = bytes.length > 50 && bytes[23] === 17 && bytes.readUInt16BE(36) === PORT;
      if (isVxlan && frames.length < FRAMES_KEPT) frames.push(bytes);
    }
  };
  const timer = setInterval(look, LOOK_MS);
  try {
    await work();
    look();
  } finally {
    clearInterval(timer);
    socket.close();
  }
  return frames;
}

export async function exchange(t: Test, near: LabContainer, far: LabContainer): Promise<void> {
  const ways = {
    there: { from: near, to: far, address: formatIpv4(far.address) },
    back: { from: far, to: near, address: formatIpv4(near.address) },
  };
  for (const [name, path] of Object.entries(ways)) {
    const { targets } = await runEcho(path.from, [path.address], ECHO);
    t.match(targets, [{ sent: ECHO.count, received: ECHO.count }], `echo ${name}`);
    const options = { port: 5001, bytes: TCP_BYTES, sha256: true };
    const { sent, received } = await runTcpPair(path, options);
    t.equal(received.streams[0]?.bytes, TCP_BYTES, `TCP ${name}: all bytes`);
    t.match(sent.streams[0]?.sha256, /^[0-9a-f]{64}$/);
    t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, `TCP ${name}: equal SHA-256`);
    if (skipLong !== false) continue;
    const rate = { port: 5002, rate: 500, count: 100, seconds: 5, size: 3000 };
    const udp = await runUdpPair(path, rate);
    t.match(udp.received, { received: 100, missing: 0 }, `UDP ${name}, in fragments`);
  }
  await talk6(t, near, far, FAR6, 4);
  if (skipLong === false) await talk6(t, far, near, NEAR6, 4);
}

/** All frames that were looked at are whole, and are of the network. */
export function checkFrames(t: Test, frames: readonly Buffer[]): void {
  t.ok(frames.length > 100, `${frames.length} frames of the underlay were looked at`);
  const wrong = malformed(frames, [VNI]);
  if (wrong === undefined) t.comment('no tshark here: nobody else has looked at the frames');
  else t.equal(wrong, '', 'tshark finds nothing malformed, and no other VNI');
}

/** The counters of our end once they add up. */
export async function settledCounters(t: Test, end: Near): Promise<Counters> {
  await until('the books balance', BOOKS_MS, async () => {
    const counters = await end.counters();
    return unaccounted(counters, 'egress') === 0 && unaccounted(counters, 'ingress') === 0;
  });
  const counters = await end.counters();
  t.comment(JSON.stringify(Object.entries(counters).filter(([, count]) => count > 0)));
  return counters;
}

export function floodsOf(counters: Counters): number {
  return (counters['event.flooded_broadcast'] ?? 0) + (counters['event.flooded_unknown'] ?? 0);
}

/** Nothing was flooded, and ARP and Neighbour Discovery were answered at home. */
export function checkFloodless(t: Test, counters: Counters, frames: readonly Buffer[]): void {
  const groups = frames.filter((frame) => ((frame[50] ?? 0) & 1) === 1);
  t.equal(floodsOf(counters), 0, 'nothing was flooded');
  t.equal(groups.length, 0, 'no frame for everybody on the underlay');
  t.ok((counters['event.arp_answered'] ?? 0) > 0, 'ARP was answered here');
  t.ok((counters['event.nd_answered'] ?? 0) > 0, 'and Neighbour Discovery');
}
