/**
 * Both data paths, for tests that hold for either; and what is another thing where the kernel forwards: the
 * ends of a few probes, and where to look for what comes in.
 * @module
 */
import { whyNoKernelPath } from '../../src/sys/bpf/kernel-path.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { INNER_MAC, type Probe } from './probes.ts';
import type { Target } from './target.ts';
import { fromMac } from './wire.ts';

/** What ends earlier, or later, than in a data process: the device and the receiver have their say. */
const OTHER_ENDS: readonly [RegExp, Probe['end']][] = [
  // The device wants a whole VXLAN header with its I flag before it asks whose it is, and a whole frame.
  [/^VXLAN (of \d bytes|header alone|without the I flag)$/, 'kernel'],
  [/^VXLAN (rubbish of a stranger|stranger's flags|our own flags)$/, 'kernel'],
  [/^frame of 13 bytes$/, 'kernel'],
  [/^frame of (14 bytes|IPv6)$|^inner of 19 bytes$|^IPv6 of (1 byte|39 bytes)$/, 'bad_header'],
  [/congestion told to who cannot hear it$/, 'bad_header'],
  // Its socket is bound to no address of its own.
  [/^outer destination the underlay broadcast$/, 'foreign_destination'],
  [/checksum wrong|wrong checksum|without checksum/, 'delivered'],
];

/** A probe with the end that it has where the kernel forwards. */
export function kernelProbe(probe: Probe): Probe {
  const isSum = probe.end === 'bad_checksum' || probe.name.endsWith('with a wrong checksum');
  const other = OTHER_ENDS.find(([name, end]) => {
    return name.test(probe.name) && (end === 'delivered') === isSum;
  });
  return other === undefined ? probe : { ...probe, end: other[1] };
}

/** On the device itself what our program drops is seen too: so, what of the probes arrives at the container. */
export function watchContainer(target: Target): void {
  target.devices.push(target.wire(target.lab.container(0), 'eth0', fromMac(INNER_MAC)));
}

export type DatapathCase = {
  name: 'userspace' | 'kernel';
  /** Words for `fanway up`. */
  flags: readonly string[];
  /** A probe with the end that it has there. */
  probe: (probe: Probe) => Probe;
  /** Listens where what comes in is seen. */
  watch: (target: Target) => void;
  /** The end of what bears a mark that it may not have (RFC 6040 §4.2). */
  ecnDrop: Probe['end'];
};

/** What every case of the data path is to be tried on. */
export const DATAPATHS: readonly DatapathCase[] = [
  {
    name: 'userspace',
    flags: ['--datapath', 'userspace'],
    probe: (probe) => probe,
    watch: () => undefined,
    ecnDrop: 'ecn_not_capable',
  },
  {
    name: 'kernel',
    flags: ['--datapath', 'kernel'],
    probe: kernelProbe,
    watch: watchContainer,
    ecnDrop: 'bad_header',
  },
];

/** The same of IP in IP, whose device wants a whole header inside, and takes what has options outside. */
const OTHER_IPIP_ENDS: readonly [RegExp, Probe['end']][] = [
  [/^payload (of (0|1|8|18) bytes|rubbish of .*)$/, 'kernel'],
  [/^outer total length of the header alone$|^inner of 19 bytes$/, 'kernel'],
  [/^outer with (options|forty bytes of options)$/, 'delivered'],
];

/** The same of IP in UDP, which the kernel's UDP sees first. */
const OTHER_FOU_ENDS: readonly [RegExp, Probe['end']][] = [
  [/^payload (of (0|1|8|18) bytes|rubbish of .*)$|^inner of 19 bytes$/, 'kernel'],
  // Whoever takes packets out of UDP for others does so for one listener alone.
  [/^outer destination the underlay broadcast$/, 'kernel'],
  [/^IP in IP without UDP$/, 'bad_header'],
];

/** A probe of a routed fan with the end that it has where the kernel forwards; none where nothing of it reaches a container. */
export function routedProbe(encap: 'ipip' | 'fou', probe: Probe): Probe[] {
  if (probe.end === 'delivered' && probe.answered === true) return [];
  const ends = encap === 'fou' ? OTHER_FOU_ENDS : OTHER_IPIP_ENDS;
  const other = ends.find(([name]) => name.test(probe.name));
  return [other === undefined ? kernelProbe(probe) : { ...probe, end: other[1] }];
}

/** What is routed to the container comes from the bridge, which knows it. */
export async function watchRouted(target: Target): Promise<void> {
  const { victim, bridge, containerMac } = target;
  const container = target.lab.container(0);
  await victim.netlink.addNeighbour(bridge, container.address, containerMac);
  const { address } = await victim.netlink.link(bridge);
  target.devices.push(target.wire(container, 'eth0', fromMac(address)));
}

/** False where this kernel forwards for fans of an encapsulation without frames, else why not. */
export async function skipWithoutRouted(encap: 'ipip' | 'fou'): Promise<string | false> {
  const netlink = Netlink.open();
  try {
    const why = await whyNoKernelPath(netlink, encap === 'fou' ? 'packets in UDP' : 'packets');
    return why === '' ? false : `needs a kernel that forwards ${encap} (${why})`;
  } finally {
    netlink.close();
  }
}
