/**
 * Whether this kernel and what we may do on it let a fan be forwarded by programs of ours.
 * @module
 */
import { release } from 'node:os';
import { codeOf, messageOf } from '../../errors.ts';
import { libc } from '../libc/libc.ts';
import type { Netlink } from '../netlink/netlink.ts';
import { loadClassifier } from './bpf.ts';

/** The first Linux whose tunnel key has the outer destination, without which it could not be checked. */
const LINUX_MIN = 6;
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

/** The same with the device that they hang on, of VXLAN or of IP in IP, which is made and deleted again. */
export async function whyNoKernelPath(
  netlink: Netlink,
  carried: 'frames' | 'packets' = 'frames',
): Promise<string> {
  const why = whyNoPrograms();
  if (why !== '') return why;
  try {
    if (carried === 'packets') await netlink.createExternalIpip(PROBE, { mtu: PROBE_MTU });
    else await netlink.createExternalVxlan(PROBE, { port: PROBE_PORT, mtu: PROBE_MTU });
  } catch (error) {
    if (codeOf(error) === 'EOPNOTSUPP') {
      const module = carried === 'packets' ? 'ipip' : 'vxlan';
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
    return `${messageOf(error)} (modules sch_ingress and cls_bpf)`;
  } finally {
    await netlink.deleteLink(PROBE);
  }
}
