/**
 * What is measured side by side: the kernel's VXLAN and fanway in its encapsulations, with
 * offloads and without.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { addKernelVxlan, removeKernelVxlan } from '../src/demo/kernel-vxlan.ts';
import type { LabContainer, LabHost } from '../src/demo/lab.ts';
import { killAllIn, processesIn } from '../src/demo/processes.ts';
import { runFanway } from '../src/demo/router.ts';
import { Keyring } from '../src/gossip/base/keyring.ts';
import { sliceOf } from '../src/net/fan.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { parsePrefix } from '../src/net/prefix.ts';
import { startTraffic } from '../src/traffic/run.ts';
import { VERSION } from '../src/version.ts';
import { type Scene, UNDERLAY, UNDERLAY_MTU } from './scene.ts';

const OVERLAY = '250.0.0.0/8';
const MAP = { overlay: parsePrefix(OVERLAY), underlay: parsePrefix(UNDERLAY) };
const BRIDGE = 'fan-250';
const CONTAINER_NUMBER = 10;
/** On a machine that is not overrun it takes less than one. */
const FIRST_PACKET_MS_MAX = 60_000;

/** An overlay that is up on both hosts of a scene. Addresses are dotted text. */
export type Tunnel = {
  a: LabHost;
  b: LabHost;
  addressA: string;
  addressB: string;
  containerA: LabContainer;
  containerB: LabContainer;
  containerAddressB: string;
  /** Processes that carry it on host a; none for the kernel. */
  pids(): number[];
  /** From the command on host a to the first answer through the overlay; undefined for the kernel. */
  startMs: number | undefined;
  stop(): Promise<void>;
};

export type Variant = {
  key: string;
  title: string;
  /** Of what is measured, at the time; '' = nobody says. */
  version?(): string;
  ours: boolean;
  /** Measured by every row, or only by the few that show what offloads give. */
  full: boolean;
  /** Only where it is named. */
  onRequest?: boolean;
  start(scene: Scene): Promise<Tunnel>;
};

/** Its name and version: a figure of a program without its version says little a year later. */
export function titleOf({ title, version, ours }: Variant): string {
  return [title, ours ? VERSION : (version?.() ?? '')].filter((word) => word !== '').join(' ');
}

/** The machine lacks what this variant needs; the message is the reason. */
export class NotAvailable extends Error {
  override readonly name = 'NotAvailable';
}

/** All variants, the yardstick first. */
export const variants: readonly Variant[] = [
  {
    ...{ key: 'kernel', title: 'kernel VXLAN', ours: false, full: true },
    version: release,
    start: startKernel,
  },
  fanway('vxlan', 'auto'),
  fanway('fou', 'auto'),
  fanway('ipip', 'auto'),
  fanway('vxlan', 'off'),
  fanway('fou', 'off'),
  fanway('ipip', 'off'),
  {
    ...{ key: 'network', title: 'fanway layer-2 network', ours: true, full: true },
    onRequest: true,
    start: (scene) => startNetwork(scene),
  },
  {
    ...{ key: 'network-kernel', title: 'fanway layer-2 network, kernel', ours: true, full: true },
    onRequest: true,
    start: (scene) => startNetwork(scene, ['--datapath', 'kernel']),
  },
  {
    ...{ key: 'realtime', title: 'fanway vxlan, realtime', ours: true, full: true },
    onRequest: true,
    start: (scene) => startFanway(scene, 'vxlan', 'auto', { priority: 'realtime' }),
  },
  {
    ...fanwayWith('vxlan-rate', 'fanway vxlan, a rate far above', ['--rate', '34G']),
    onRequest: true,
  },
  {
    ...fanwayWith('kernel-path', 'fanway, forwarded by the kernel', ['--datapath', 'kernel']),
    onRequest: true,
  },
];

/** The same of another build, to be measured beside this one. @param dist its `dist` folder */
export function anotherBuild(dist: string): Variant {
  return {
    ...{ key: 'beside', title: `fanway vxlan of ${dist}`, ours: true, full: true },
    start: (scene) => startFanway(scene, 'vxlan', 'auto', { dist }),
  };
}

function fanway(encap: 'vxlan' | 'fou' | 'ipip', offload: 'auto' | 'off'): Variant {
  const off = offload === 'off';
  return {
    key: off ? `${encap}-off` : encap,
    title: `fanway ${encap}${off ? ', offload off' : ''}`,
    ours: true,
    full: !off,
    start: (scene) => startFanway(scene, encap, offload),
  };
}

function gatewayOf(host: LabHost): number {
  return sliceOf(MAP, host.address).address + 1;
}

async function plugIn(host: LabHost, bridge: string): Promise<LabContainer> {
  const [container] = host.containers;
  const [gateway] = await host.netlink.addresses(bridge);
  if (container === undefined || gateway === undefined) {
    throw new Error(`${bridge} on ${host.name} has no address`);
  }
  const address = sliceOf(MAP, host.address).address + CONTAINER_NUMBER;
  const { length, address: via } = gateway;
  await container.attach({ bridge, address, length, gateway: via });
  return container;
}

async function tunnelOn(
  { a, b }: Scene,
  bridge: string,
  rest: Pick<Tunnel, 'pids' | 'startMs' | 'stop'>,
): Promise<Tunnel> {
  const containerA = await plugIn(a, bridge);
  const containerB = await plugIn(b, bridge);
  return {
    a,
    b,
    addressA: formatIpv4(gatewayOf(a)),
    addressB: formatIpv4(gatewayOf(b)),
    containerA,
    containerB,
    containerAddressB: formatIpv4(containerB.address),
    ...rest,
  };
}

async function startKernel(scene: Scene): Promise<Tunnel> {
  const ends: Parameters<typeof addKernelVxlan>[0][number][] = [];
  for (const host of [scene.a, scene.b]) {
    const containers: { address: number; mac: number }[] = [];
    for (const container of host.containers) {
      const { address: mac } = await container.netlink.link('eth0');
      containers.push({ address: sliceOf(MAP, host.address).address + CONTAINER_NUMBER, mac });
    }
    const { namespace, address: underlay } = host;
    ends.push({ namespace, underlay, gateway: gatewayOf(host), containers });
  }
  const options = {
    bridge: BRIDGE,
    device: 'kernel-vxlan',
    vni: 250,
    port: 4789,
    length: MAP.overlay.length,
    underlayMtu: UNDERLAY_MTU,
  };
  const reason = await addKernelVxlan(ends, options);
  if (reason !== undefined) throw new NotAvailable(reason);
  return tunnelOn(scene, BRIDGE, {
    pids: () => [],
    startMs: undefined,
    stop: async () => {
      await unplug(scene);
      await removeKernelVxlan(ends, options);
    },
  });
}

async function unplug({ a, b }: Scene): Promise<void> {
  for (const container of [...a.containers, ...b.containers]) await container.detach();
}

/** Fanway vxlan with more words for `up`. */
export function fanwayWith(key: string, title: string, more: readonly string[]): Variant {
  return {
    ...{ key, title, ours: true, full: true },
    start: (scene) => startFanway(scene, 'vxlan', 'auto', { more }),
  };
}

async function startFanway(
  scene: Scene,
  encap: string,
  offload: string,
  {
    priority,
    dist,
    more = [],
  }: { priority?: string; dist?: string; more?: readonly string[] } = {},
): Promise<Tunnel> {
  const fan = [OVERLAY, `eth0/${MAP.underlay.length}`];
  // The kernel's variant has no NAT either, which would have every packet tracked.
  const options = ['--encap', encap, '--offload', offload, '--no-masquerade', ...more];
  if (priority !== undefined) options.push('--priority', priority);
  const up = [...fan, 'bridge', BRIDGE, ...options];
  const { a, b } = scene;
  const stop = async (): Promise<void> => {
    await unplug(scene);
    await Promise.all([a, b].map((host) => runFanway(host, ['down', ...fan], dist)));
    for (const host of [a, b]) killAllIn(host.namespace.inode);
  };
  try {
    await runFanway(b, ['up', ...up], dist);
    const startMs = await timeToFirstPacket(a, formatIpv4(gatewayOf(b)), () =>
      runFanway(a, ['up', ...up], dist),
    );
    const pids = () => processesIn(a.namespace.inode);
    return await tunnelOn(scene, BRIDGE, { pids, startMs, stop });
  } catch (error) {
    // What is left of it would be in the way of all that come after; why it did not start is what counts.
    await stop().catch(() => undefined);
    throw error;
  }
}

/** Asks from before `begin` on, so that the answer marks the first packet through; ms. */
async function timeToFirstPacket(
  from: LabHost,
  targets: string,
  begin: () => Promise<unknown>,
): Promise<number> {
  const ask = { targets, count: 100_000, interval: 2, timeout: 2, first: true };
  const asker = startTraffic(from, 'echo', ask, FIRST_PACKET_MS_MAX);
  await asker.ready;
  const started = performance.now();
  const answered = asker.result.then(() => performance.now() - started);
  const [ms] = await Promise.all([answered, begin()]);
  return ms;
}

/** A layer-2 network of both hosts that gossip, each with an address of its own on the bridge. */
async function startNetwork(scene: Scene, words: readonly string[] = []): Promise<Tunnel> {
  const { a, b } = scene;
  const keyFile = join(a.runDirectory, 'cluster.key');
  writeFileSync(keyFile, Keyring.generate(randomBytes).format(), { mode: 0o600 });
  for (const [host, ...seeds] of [[a], [b, a]] as const) {
    const known = seeds.map(({ address }) => formatIpv4(address));
    await runFanway(host, ['join', ...known, '--name', host.name, '--key', keyFile]);
  }
  const add = (host: LabHost): Promise<string> => {
    const address = `${formatIpv4(gatewayOf(host))}/${MAP.overlay.length}`;
    const where = ['--underlay', `eth0/${MAP.underlay.length}`, '--address', address];
    const named = ['net', 'add', 'bench', '--vni', '250', '--bridge', BRIDGE];
    return runFanway(host, [...named, ...where, ...words]);
  };
  await Promise.all([add(a), add(b)]);
  const tunnel = await tunnelOn(scene, BRIDGE, {
    pids: () => processesIn(a.namespace.inode),
    startMs: undefined,
    stop: async () => {
      await unplug(scene);
      await Promise.all([a, b].map((host) => runFanway(host, ['net', 'rm', 'bench'])));
      for (const host of [a, b]) killAllIn(host.namespace.inode);
    },
  });
  // Whoever is asked for has been heard of.
  const targets = tunnel.containerAddressB;
  await startTraffic(
    tunnel.containerA,
    'echo',
    { targets, count: 100_000, interval: 2, timeout: 2, first: true },
    FIRST_PACKET_MS_MAX,
  ).result;
  return tunnel;
}
