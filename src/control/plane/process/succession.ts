/**
 * Ours are ready before the data processes of a killed predecessor end.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import type { DataProcess } from './data-process.ts';
import type { Estate } from './estate.ts';

/**
 * Has ours lack nothing but the links. A predecessor's processes forward on until they have those
 * (estate.ts); where theirs are of no use to ours, they end here.
 */
export async function succeed(
  estate: Estate,
  processes: readonly DataProcess[],
  log: Log,
): Promise<void> {
  if (estate.isThere) {
    await Promise.all(processes.map((process) => process.prepare())).catch((error: unknown) =>
      log.warn('data', `not ready ahead of time: ${messageOf(error)}`),
    );
  }
  if (!estate.isAwaited) await estate.end(pidsOf(processes));
}

export function pidsOf(processes: readonly DataProcess[]): number[] {
  return processes.map((process) => process.report().pid);
}
