/**
 * Data processes of a killed predecessor end when ours can take over.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { endOrphans, runningOrphans } from '../../host/orphans.ts';
import type { DataProcess } from './data-process.ts';

/** Ends a predecessor's processes, which forward on until ours lack nothing but the links. */
export async function succeed(
  directory: string,
  processes: readonly DataProcess[],
  log: Log,
): Promise<void> {
  if (runningOrphans(directory).length > 0) {
    await Promise.all(processes.map((process) => process.prepare())).catch((error: unknown) =>
      log.warn('data', `not ready ahead of time: ${messageOf(error)}`),
    );
  }
  await endOrphans(
    directory,
    processes.map((process) => process.report().pid),
  );
}
