/**
 * The kernel's listener that takes packets of a fan of `fou` out of UDP and hands them to the device of IP in IP.
 *
 * It bears no mark. It is made once the fan's device is there, and taken away before that goes: where a device of
 * the fan's is found, a listener at its port is the fan's, and where there is none it is somebody else's.
 * @module
 */

import { isPacketsInUdp } from '../../../encap/encap.ts';
import { codeOf, FanwayError } from '../../../errors.ts';
import { FOU_PROTOCOL, type FouListener, FouListeners } from '../../../sys/netlink/generic/fou.ts';
import type { WireSpec } from '../../store/link-spec.ts';

type Wire = Pick<WireSpec, 'encap' | 'port' | 'datapath'>;

/** Whether a link needs such a listener. */
export function needsFouPort(spec: Wire): boolean {
  return spec.datapath === 'kernel' && isPacketsInUdp(spec.encap);
}

/** What to do about a listener of somebody else's. */
export function fouPortTaken({ port }: Pick<WireSpec, 'port'>): string {
  return `UDP port ${port} has a listener of somebody else's for FOU (ip fou show): delete it (ip fou del port ${port}), or choose another --port`;
}

function isThere(listeners: readonly FouListener[], { port }: Wire): boolean {
  return listeners.some((one) => one.port === port && one.protocol === FOU_PROTOCOL);
}

/** Has the listeners of the network namespace that this process is in. */
async function withListeners<T>(work: (listeners: FouListeners) => Promise<T>): Promise<T> {
  const listeners = new FouListeners();
  try {
    return await work(listeners);
  } finally {
    listeners.close();
  }
}

/** UDP ports at which the kernel listens for packets in UDP. @throws NetlinkError */
export function fouPorts(): Promise<number[]> {
  return withListeners(async (listeners) => (await listeners.all()).map(({ port }) => port));
}

/**
 * Makes it, unless it is there.
 * @param ours whether one that is there is the fan's
 * @throws FanwayError port-taken; NetlinkError EADDRINUSE where another socket has the port
 */
export async function openFouPort(spec: Wire, ours: boolean): Promise<void> {
  if (!needsFouPort(spec)) return;
  await withListeners(async (listeners) => {
    if (ours && isThere(await listeners.all(), spec)) return;
    try {
      await listeners.add(spec.port);
    } catch (error) {
      const others = codeOf(error) === 'EADDRINUSE' ? await listeners.all() : [];
      if (!others.some(({ port }) => port === spec.port)) throw error;
      throw new FanwayError('port-taken', fouPortTaken(spec));
    }
  });
}

/** What is not there of it, a line. */
export async function missingFouPort(spec: Wire): Promise<string[]> {
  if (!needsFouPort(spec)) return [];
  const is = await withListeners(async (listeners) => isThere(await listeners.all(), spec));
  return is ? [] : [`listener for FOU at UDP port ${spec.port}`];
}

/** Takes it away, if it is there still. */
export async function closeFouPort(spec: Wire): Promise<void> {
  if (!needsFouPort(spec)) return;
  await withListeners(async (listeners) => {
    if (!isThere(await listeners.all(), spec)) return;
    try {
      await listeners.delete(spec.port);
    } catch (error) {
      if (!['EINVAL', 'ENOENT'].includes(codeOf(error))) throw error;
    }
  });
}
