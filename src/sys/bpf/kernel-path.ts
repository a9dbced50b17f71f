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
/** `r0 = 0; exit`. */
const NOTHING = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);

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
    libc.close(loadClassifier('fanway_probe', NOTHING));
    return '';
  } catch (error) {
    return codeOf(error) === 'EPERM'
      ? 'this process may not load programs (CAP_BPF with CAP_NET_ADMIN, no lockdown, and no filter of system calls before bpf)'
      : messageOf(error);
  }
}

/** The same with the device that they hang on, which is made and deleted again. */
export async function whyNoKernelPath(netlink: Netlink): Promise<string> {
  const why = whyNoPrograms();
  if (why !== '') return why;
  try {
    await netlink.createExternalVxlan(PROBE, { port: PROBE_PORT, mtu: PROBE_MTU });
  } catch (error) {
    if (codeOf(error) === 'EOPNOTSUPP') return 'this kernel has no VXLAN (module vxlan)';
    // Another router asks at the same time: then it can be made.
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
