/**
 * Both data paths, for tests that hold for either; and what is another thing where the kernel forwards: the
 * ends of a few probes, and where to look for what comes in.
 * @module
 */
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
