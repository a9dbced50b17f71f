/**
 * Whether this kernel and what we may do on it let a fan be forwarded by programs of ours.
 * @module
 */
import { release } from 'node:os';
import { codeOf, messageOf } from '../../errors.ts';
import { libc } from '../libc/libc.ts';
import type { Netlink } from '../netlink/netlink.ts';
import { loadClassifier } from './bpf.ts';
import { findFunctions } from './functions.ts';

/** The first Linux whose tunnel key has the outer destination, without which it could not be checked. */
const LINUX_MIN = 6;
/** The first Linux whose programs say and hear the ports of IP in UDP. */
const LINUX_FOU_MIN = [6, 4] as const;
/** Functions of the module fou by which they do (net/ipv4/fou_bpf.c). */
const FOU_FUNCTIONS = { set: 'bpf_skb_set_fou_encap', get: 'bpf_skb_get_fou_encap' } as const;
const PROBE = 'fanway-probe';
/** Discard: no tunnel has it, and the probe's device is never up. */
const PROBE_PORT = 9;
const PROBE_MTU = 1500;
/**
 * What the programs ask of who loads them: a place of the stack that is found while they run, as options
 * of a header are read. The kernel lets only CAP_PERFMON do so.
 */
const PROBE_PROGRAM = Uint8Array.of(
  ...[0x7a, 0x0a, 0xf8, 0xff, 0, 0, 0, 0], // *(u64 *)(r10 - 8) = 0
  ...[0x61, 0x11, 0, 0, 0, 0, 0, 0], // r1 = packet length
  ...[0x57, 0x01, 0, 0, 7, 0, 0, 0], // r1 &= 7
  ...[0xbf, 0xa2, 0, 0, 0, 0, 0, 0], // r2 = r10
  ...[0x0f, 0x12, 0, 0, 0, 0, 0, 0], // r2 += r1
  ...[0x71, 0x20, 0xf8, 0xff, 0, 0, 0, 0], // r0 = *(u8 *)(r2 - 8)
  ...[0xb7, 0, 0, 0, 0, 0, 0, 0], // r0 = 0
  ...[0x95, 0, 0, 0, 0, 0, 0, 0], // exit
);

/** Why programs cannot be loaded here, '' where they can. */
function whyNoPrograms(): string {
  if (process.arch !== 'x64' && process.arch !== 'arm64') {
    return `no program is known for ${process.arch}`;
  }
  const version = /^(\d+)\.(\d+)/.exec(release());
  if (Number(version?.[1] ?? 0) < LINUX_MIN) {
    return `it takes Linux ${LINUX_MIN}.0 or later, and this is ${release()}`;
  }
  try {
    libc.close(loadClassifier('fanway_probe', PROBE_PROGRAM));
    return '';
  } catch (error) {
    return ['EPERM', 'EACCES'].includes(codeOf(error))
      ? 'this process may not load programs (CAP_BPF and CAP_PERFMON with CAP_NET_ADMIN, no lockdown, and no filter of system calls before bpf)'
      : messageOf(error);
  }
}

/** The functions as programs call them, with a descriptor of where they stand for who loads those, which he closes. */
export type FouPath = {
  functions: Record<keyof typeof FOU_FUNCTIONS, { typeId: number; origin: 0 | 1 }>;
  types: number;
};

/** @throws Error with why they cannot be had */
export function openFouPath(): FouPath {
  const found = findFunctions('fou', Object.values(FOU_FUNCTIONS));
  if (typeof found === 'string') throw new Error(found);
  const { functions, types } = found;
  return {
    functions: { set: functions[FOU_FUNCTIONS.set], get: functions[FOU_FUNCTIONS.get] },
    types,
  };
}

/** Why programs cannot have packets travel in UDP without frames, '' where they can. */
function whyNoFou(): string {
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const [least, then] = LINUX_FOU_MIN;
  if (major < least || (major === least && minor < then)) {
    return `fou takes Linux ${least}.${then} or later, and this is ${release()}`;
  }
  try {
    const { functions, types } = openFouPath();
    try {
      libc.close(loadClassifier('fanway_probe', fouProbe(functions.get), 'gpl', types));
    } finally {
      if (types >= 0) libc.close(types);
    }
    return '';
  } catch (error) {
    return codeOf(error) === 'EPERM'
      ? 'for fou this process must be allowed to read the type information of modules (CAP_SYS_ADMIN)'
      : messageOf(error);
  }
}

/** Asks for the ports of a packet, and lets it go on. */
function fouProbe({ typeId, origin }: FouPath['functions']['get']): Uint8Array<ArrayBuffer> {
  const code = Uint8Array.of(
    ...[0x62, 0x0a, 0xf8, 0xff, 0, 0, 0, 0], // *(u32 *)(r10 - 8) = 0
    ...[0xbf, 0xa2, 0, 0, 0, 0, 0, 0], // r2 = r10
    ...[0x07, 0x02, 0, 0, 0xf8, 0xff, 0xff, 0xff], // r2 += -8
    ...[0x85, 0x20, origin, 0, 0, 0, 0, 0], // call the function
    ...[0xb7, 0, 0, 0, 0, 0, 0, 0], // r0 = 0
    ...[0x95, 0, 0, 0, 0, 0, 0, 0], // exit
  );
  new DataView(code.buffer).setInt32(3 * 8 + 4, typeId, true);
  return code;
}

/** What a link carries: frames (VXLAN), packets in IP, or packets in UDP. */
export type Carried = 'frames' | 'packets' | 'packets in UDP';

/** Deletes the probe's device; one that is not there, or that another router that probes has deleted, is no failure. */
async function endProbe(netlink: Netlink): Promise<void> {
  try {
    await netlink.deleteLink(PROBE);
  } catch (error) {
    if (codeOf(error) !== 'ENODEV') throw error;
  }
}

/** The same with the device that they hang on, of VXLAN or of IP in IP, which is made and deleted again. */
export async function whyNoKernelPath(
  netlink: Netlink,
  carried: Carried = 'frames',
): Promise<string> {
  const why = whyNoPrograms() || (carried === 'packets in UDP' ? whyNoFou() : '');
  if (why !== '') return why;
  try {
    // Whoever was killed while it probed has left it: it would be in the way of a link that wants the only one.
    await endProbe(netlink);
    if (carried !== 'frames') await netlink.createExternalIpip(PROBE, { mtu: PROBE_MTU });
    else await netlink.createExternalVxlan(PROBE, { port: PROBE_PORT, mtu: PROBE_MTU });
  } catch (error) {
    if (codeOf(error) === 'EOPNOTSUPP') {
      const module = carried === 'frames' ? 'vxlan' : 'ipip';
      return `this kernel has no ${module.toUpperCase()} (module ${module})`;
    }
    // Another router asks at the same time, or has the only one: then it can be made.
    return codeOf(error) === 'EEXIST' ? '' : messageOf(error);
  }
  try {
    const { index } = await netlink.link(PROBE);
    await netlink.addHooks(index);
    return '';
  } catch (error) {
    // Another router takes it for a leftover: then it could be made.
    if (codeOf(error) === 'ENODEV') return '';
    return `${messageOf(error)} (modules sch_ingress and cls_bpf)`;
  } finally {
    await endProbe(netlink);
  }
}
