/**
 * What lay in the queues while no data process ran: after a crash there may have been nobody for
 * seconds, and then it is too old for whoever waits for it. It is dropped and counted.
 * @module
 */
import { IDLE_BEAT_MS, type Layout } from '../../shm/layout.ts';
import type { Egress } from '../egress/egress.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { Ingress } from '../ingress/ingress.ts';
import type { Receiver } from '../ingress/receive.ts';

/** Nobody forwarded for a second at least, idle as the last one may have been: all that waits is stale. */
const STALE_MS = IDLE_BEAT_MS + 1000;
/** Bursts dropped from one descriptor: more than any queue holds. */
const BURSTS_MAX = 1024;

/** Time of the kernel's monotonic clock, which all processes share, less `performance.now()`, ms. */
export const MONOTONIC_OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Whether nobody has forwarded for so long that what waits in the queues is stale. */
export function isStale(layout: Layout): boolean {
  const { beatAtMs } = layout;
  return beatAtMs !== 0 && performance.now() + MONOTONIC_OFFSET_MS - beatAtMs > STALE_MS;
}

/** Drops and counts what waits at the devices and the sockets. */
export function shedStale(
  egress: Egress,
  links: readonly DataLink[],
  ingress: Ingress,
  receiver: Receiver,
  endpoints: readonly DataEndpoint[],
): void {
  const nowMs = performance.now();
  egress.sheds = true;
  for (const link of links) {
    for (let i = 0; i < BURSTS_MAX && egress.readBurst(link, nowMs) > 0; i++);
  }
  egress.sheds = false;
  ingress.sheds = true;
  for (const endpoint of endpoints) {
    for (const socket of endpoint.listeners) {
      for (let i = 0; i < BURSTS_MAX && receiver.receiveBurst(endpoint, socket, nowMs) > 0; i++);
    }
  }
  ingress.sheds = false;
}
