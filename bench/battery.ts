/**
 * Whom each lets in: the crafted datagrams of the tests, shot at kernel VXLAN and at fanway in the
 * same place. What counts is whether a frame came out of the tunnel device.
 * @module
 */
import { addKernelVxlan } from '../src/demo/kernel-vxlan.ts';
import { craftedVxlan } from '../test/support/crafted-vxlan.ts';
import { groundOf } from '../test/support/ground.ts';
import type { Probe } from '../test/support/probes.ts';
import { Target } from '../test/support/target.ts';
import type { Wire } from '../test/support/wire.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable } from './results.ts';

const KERNEL_DEVICE = 'kernel-vxlan';
const UNDERLAY_MTU = 1500;
/** How long a datagram may take to come out; much longer than it does on an idle machine. */
const GRACE_MS = 15;

const reasons: Record<string, string> = {
  delivered: 'honest',
  stranger: 'outer source is no host of the underlay',
  own_source: 'outer source is ourselves',
  foreign_source: "inner source is not the sender's",
  foreign_destination: 'inner destination is not ours',
  bad_header: 'VXLAN header not exactly as RFC 7348 sends it',
  wrong_vni: 'another VNI',
  runt: 'too short',
  malformed: 'inner header lies',
  nested: 'a tunnel in the tunnel',
  broadcast: 'inner broadcast',
  multicast: 'inner multicast',
  bad_mac: 'impossible source MAC',
  unknown_ethertype: 'neither IPv4 nor ARP',
  ipv6: 'IPv6',
  bad_checksum: 'inner checksum wrong',
  ecn_not_capable: 'ECN combination that must be dropped (RFC 6040)',
  too_big: 'larger than the overlay carries',
  kernel: 'outer IP or UDP header broken',
};

/** How many of `probes` came out of the tunnel device, by the end that they ought to meet. */
async function shootAll(
  target: Target,
  devices: readonly Wire[],
  probes: readonly Probe[],
): Promise<Map<string, number>> {
  const entered = new Map<string, number>();
  for (const probe of probes) {
    for (const device of devices) device.take();
    for (const frame of probe.frames) target.underlay.send(frame);
    await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
    const came = devices.some((device) => device.arrived().length > 0);
    const end = endOf(probe);
    entered.set(end, (entered.get(end) ?? 0) + Number(came));
  }
  return entered;
}

function endOf(probe: Probe): string {
  return probe.end.split(':')[0] ?? '';
}

async function againstFanway(): Promise<{ probes: Probe[]; entered: Map<string, number> }> {
  const target = await Target.create({ encap: 'vxlan' });
  try {
    const probes = craftedVxlan(groundOf(target, 'vxlan'));
    return { probes, entered: await shootAll(target, target.devices, probes) };
  } finally {
    target.close();
  }
}

async function againstKernel(): Promise<Map<string, number> | string> {
  const target = await Target.create({ encap: 'vxlan', up: false });
  try {
    const { victim, attacker, map } = target;
    const ends = [victim, attacker].map(({ namespace, address: underlay }) => {
      return { namespace, underlay, gateway: target.sliceOf(underlay) + 1, containers: [] };
    });
    const [end] = ends;
    if (end === undefined) throw new Error('the target has no victim');
    const reason = await addKernelVxlan([end], {
      bridge: target.bridge,
      device: KERNEL_DEVICE,
      vni: map.overlay.address >>> 8,
      port: 4789,
      length: map.overlay.length,
      underlayMtu: UNDERLAY_MTU,
    });
    if (reason !== undefined) return reason;
    await victim.netlink.addFdb(KERNEL_DEVICE, 0, attacker.address);
    await target.join();
    const device = target.wire(victim, KERNEL_DEVICE);
    return await shootAll(target, [device], craftedVxlan(groundOf(target, 'vxlan')));
  } finally {
    target.close();
  }
}

async function run(): Promise<ExtraTable | string> {
  const kernel = await againstKernel();
  if (typeof kernel === 'string') return kernel;
  const { probes, entered } = await againstFanway();
  const ends = [...new Set(probes.map(endOf))];
  const sum = (of: (end: string) => number) =>
    ends.filter((end) => end !== 'delivered').reduce((total, end) => total + of(end), 0);
  const sent = (end: string) => probes.filter((probe) => endOf(probe) === end).length;
  const row = (title: string, of: (from: (end: string) => number) => number) => [
    title,
    `${of(sent)}`,
    `${of((end) => kernel.get(end) ?? 0)}`,
    `${of((end) => entered.get(end) ?? 0)}`,
  ];
  return {
    title: 'Whom it lets in',
    note: 'Crafted datagrams, and how many came out of the tunnel device. Neither has a firewall, and the kernel does not look at the way back (rp_filter 0).',
    columns: ['datagrams', 'sent', 'into kernel VXLAN', 'into fanway vxlan'],
    rows: [
      ...ends.map((end) => row(reasons[end] ?? end, (from) => from(end))),
      row('all that should not', sum),
    ],
  };
}

/** Crafted datagrams against the kernel's VXLAN and fanway's. */
export const battery: Extra = { key: 'battery', slow: true, run };
