/**
 * Userspace tunnels that others made, measured by the same rows where their Debian package is
 * installed or was unpacked for it (peer-packages.ts). Each with as little cryptography as it offers
 * (wireguard-go and nebula cannot do without). And the plain loops of yardsticks.ts.
 *
 * Each is verified by the counters of its own device: traffic that took another way is a failure.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabHost } from '../src/demo/lab.ts';
import { killAllIn } from '../src/demo/processes.ts';
import { messageOf } from '../src/errors.ts';
import { parseIpv4 } from '../src/net/ipv4.ts';
import { runEcho } from '../src/traffic/run.ts';
import type { PeerPackages, Wanted } from './peer-packages.ts';
import { lastWordsOf, type PeerEnd, type PeerSetup, peerSetups } from './peer-setups.ts';
import type { Scene } from './scene.ts';
import { NotAvailable, type Tunnel, type Variant } from './variants.ts';
import { yardstickSetups } from './yardsticks.ts';

const OVERLAY = ['10.77.0.1', '10.77.0.2'] as const;
const OVERLAY_LENGTH = 24;
const READY_MS_MAX = 15_000;
/** A peer that carried the essential rows has seen more than this, be it in super-packets. */
const PACKETS_MIN = 100;

/** Peers whose packages are looked for, but that two hosts without anybody else do not make a tunnel of. */
const notSetUp: readonly { title: string; package: string; reason: string }[] = [
  {
    title: 'Tailscale, userspace',
    package: 'tailscale',
    reason: 'needs a control server that both hosts log in to',
  },
  {
    title: 'ZeroTier',
    package: 'zerotier-one',
    reason: 'needs a controller and root servers that both hosts reach',
  },
  {
    title: 'flannel, UDP backend',
    package: 'flannel',
    reason: 'needs etcd or Kubernetes beside it',
  },
  {
    title: 'SoftEther',
    package: 'softether-vpnserver',
    reason: 'finds its own files by the program that /proc names, which is the loader here',
  },
  { title: 'VpnCloud', package: 'vpncloud', reason: 'not set up here' },
];

/** Whatever a setup needs a package of, or is not here for. */
export const peerWants: readonly Wanted[] = [
  ...peerSetups,
  ...notSetUp.map((one) => ({ package: one.package, programs: [] })),
];

/** One variant a peer, there or not: what is missing is told when it is to start. */
export function peerVariants(packages: () => PeerPackages): readonly Variant[] {
  return [...peerSetups, ...yardstickSetups].map((setup) => ({
    key: setup.key,
    title: setup.title,
    version: () => packages().of(setup.package)?.version ?? '',
    ours: false,
    full: false,
    start: (scene) => startPeer(scene, setup, packages()),
  }));
}

/** Peers that are never measured, and why. */
export function unmeasuredPeers(packages: PeerPackages): { what: string; reason: string }[] {
  return notSetUp.map(({ title, package: name, reason }) => {
    const there = packages.of(name);
    const why = there === undefined ? packages.whyMissing(name) : `${there.version}: ${reason}`;
    return { what: title, reason: why };
  });
}

async function startPeer(scene: Scene, setup: PeerSetup, packages: PeerPackages): Promise<Tunnel> {
  const absent = setup.programs.find((name) => packages.program(name) === undefined);
  if (absent !== undefined) throw new NotAvailable(packages.whyMissing(setup.package));
  const folder = mkdtempSync(join(tmpdir(), 'fanway-peer-'));
  const ends = [
    endOf(scene.a, 0, setup, folder, packages),
    endOf(scene.b, 1, setup, folder, packages),
  ] as const;
  const forget = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', forget);
  const stop = async () => {
    for (const { host } of ends) killAllIn(host.namespace.inode);
    process.removeListener('exit', forget);
    forget();
    await Promise.all(ends.map((end) => deviceGone(end)));
    for (const end of ends) await setup.undo?.(end);
  };
  try {
    await setup.start([...ends]);
    for (const end of ends) await configure(end, setup);
    await untilReachable(scene.a);
  } catch (error) {
    const said = ends.map(lastWordsOf).find((words) => words !== '');
    await stop();
    // Not ours to repair: the others go on without it.
    throw new NotAvailable([messageOf(error), said ?? ''].filter(Boolean).join('; it says: '));
  }
  const [containerA] = scene.a.containers;
  const [containerB] = scene.b.containers;
  if (containerA === undefined || containerB === undefined) throw new Error('no containers');
  return {
    a: scene.a,
    b: scene.b,
    addressA: OVERLAY[0],
    addressB: OVERLAY[1],
    containerA,
    containerB,
    containerAddressB: '',
    pids: () => [],
    startMs: undefined,
    stop: async () => {
      const { statistics } = await scene.b.netlink.link(ends[1].device);
      await stop();
      if (statistics.rxPackets < PACKETS_MIN) {
        throw new Error(`${setup.title} counted only ${statistics.rxPackets} packets`);
      }
    },
  };
}

function endOf(
  host: LabHost,
  index: 0 | 1,
  setup: PeerSetup,
  folder: string,
  packages: PeerPackages,
): PeerEnd {
  return {
    ...{ host, packages },
    index,
    underlay: ['172.30.0.28', '172.30.1.27'],
    overlay: OVERLAY,
    device: `${setup.key.slice(0, 10)}${index}`,
    folder: mkdtempSync(join(folder, `${index}-`)),
  };
}

async function configure(end: PeerEnd, setup: PeerSetup): Promise<void> {
  const { netlink } = end.host;
  const deadline = performance.now() + READY_MS_MAX;
  while ((await netlink.findLink(end.device)) === undefined) {
    if (performance.now() > deadline) throw new Error(`${setup.title} made no device`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (setup.addresses) return;
  await netlink.setLink(end.device, { mtu: setup.mtu, up: true });
  await netlink.addAddress(end.device, parseIpv4(OVERLAY[end.index]), OVERLAY_LENGTH);
}

async function deviceGone({ host, device }: PeerEnd): Promise<void> {
  for (let look = 0; look < 50; look += 1) {
    if ((await host.netlink.findLink(device)) === undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await host.netlink.deleteLink(device);
}

async function untilReachable(from: LabHost): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  while (performance.now() < deadline) {
    const { targets } = await runEcho(from, [OVERLAY[1]], { count: 5, interval: 50, timeout: 200 });
    if ((targets[0]?.received ?? 0) > 0) return;
  }
  throw new Error('nothing came through');
}
