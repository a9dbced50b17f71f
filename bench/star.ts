/**
 * One sender and sixteen peers: 64 flows spread over them, as a busy host sends. The peers run
 * kernel VXLAN, so that only the sender's side differs between the kernel and fanway.
 * @module
 */
import { addKernelVxlan, type KernelEnd, removeKernelVxlan } from '../src/demo/kernel-vxlan.ts';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { killAllIn } from '../src/demo/processes.ts';
import { runFanway } from '../src/demo/router.ts';
import { sliceOf } from '../src/net/fan.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { parsePrefix } from '../src/net/prefix.ts';
import { runEcho, startTraffic } from '../src/traffic/run.ts';
import type { Extra, Note } from './extras.ts';
import { UNDERLAY, UNDERLAY_MTU } from './scene.ts';
import { type Offered, searchBy } from './search.ts';

const PEERS = 16;
const FLOWS = 64;
const ROUNDS = 3;
const TRIALS = 5;
const SECONDS = 0.7;
const SMALL_BYTES = 64;
const PORT = 5001;
const ROW = 'udp16Peers';
const MAP = { overlay: parsePrefix('250.0.0.0/8'), underlay: parsePrefix(UNDERLAY) };
const KERNEL = {
  bridge: 'fan-250',
  device: 'kernel-vxlan',
  vni: MAP.overlay.address >>> 8,
  port: 4789,
  length: MAP.overlay.length,
  underlayMtu: UNDERLAY_MTU,
};

function endOf(host: LabHost): KernelEnd {
  const gateway = sliceOf(MAP, host.address).address + 1;
  return { namespace: host.namespace, underlay: host.address, gateway, containers: [] };
}

async function offerToAll(sender: LabHost, peers: readonly LabHost[], rate: number) {
  const addresses = peers.map((host) => formatIpv4(endOf(host).gateway));
  const receivers = peers.map((host, index) => {
    const options = { listen: addresses[index], port: PORT, size: SMALL_BYTES, flows: FLOWS };
    return startTraffic(host, 'udp-receive', options);
  });
  try {
    await Promise.all(receivers.map((receiver) => receiver.ready));
    const source = startTraffic(sender, 'udp-send', {
      connect: addresses.join(','),
      port: PORT,
      size: SMALL_BYTES,
      flows: FLOWS,
      rate,
      seconds: SECONDS,
    });
    const sent = await source.result;
    const reports = await Promise.all(receivers.map((receiver) => receiver.finish()));
    const received = reports.reduce((sum, report) => sum + report.received, 0);
    const seconds = Math.max(sent.seconds, ...reports.map((report) => report.seconds));
    return {
      offered: sent.pps,
      delivered: received / seconds,
      loss: 1 - received / Math.max(sent.sent, 1),
    } satisfies Offered;
  } finally {
    for (const receiver of receivers) receiver.kill();
  }
}

/** Reaches every peer once (addresses resolved, paths known), then searches. */
async function measure(sender: LabHost, peers: readonly LabHost[]): Promise<number> {
  const addresses = peers.map((host) => formatIpv4(endOf(host).gateway));
  const { targets } = await runEcho(sender, addresses, { count: 5, interval: 20 });
  const silent = targets.filter(({ received }) => received === 0);
  if (silent.length > 0) throw new Error(`${silent.length} of ${PEERS} peers do not answer`);
  const { best } = await searchBy(TRIALS, (rate) => offerToAll(sender, peers, rate));
  return best;
}

async function run(note: Note): Promise<string | undefined> {
  const lab = await Lab.create({ hosts: PEERS + 1, containersPerHost: 0, mtu: UNDERLAY_MTU });
  try {
    const [sender, ...peers] = lab.hosts;
    if (sender === undefined) throw new Error('the lab has no host');
    const everyone = lab.hosts.map(endOf);
    const reason = await addKernelVxlan(peers.map(endOf), KERNEL, everyone);
    if (reason !== undefined) return reason;
    const fan = ['250.0.0.0/8', `eth0/${MAP.underlay.length}`];
    for (let round = 0; round < ROUNDS; round += 1) {
      await addKernelVxlan([endOf(sender)], KERNEL, everyone);
      note(ROW, 'kernel', await measure(sender, peers));
      await removeKernelVxlan([endOf(sender)], KERNEL);
      const options = ['bridge', KERNEL.bridge, '--encap', 'vxlan', '--no-masquerade'];
      await runFanway(sender, ['up', ...fan, ...options]);
      note(ROW, 'vxlan', await measure(sender, peers));
      await runFanway(sender, ['down', ...fan]);
    }
    return undefined;
  } finally {
    for (const host of lab.hosts) killAllIn(host.namespace.inode);
    lab.close();
  }
}

/** 64 flows to 16 peers. */
export const star: Extra = { key: 'udp16Peers', slow: true, run };
