/**
 * Where the control room gets its data plane from.
 * @module
 */
import type { Log } from '../log.ts';
import { DataPlane } from './data-plane.ts';
import type { RunDirectory } from './run-directory.ts';
import type { DataPlanePort } from './tunnel-set.ts';

/** Opens the data plane with its data processes. */
export function openDataPlane(options: {
  queues: number;
  busyPollUs: number;
  log: Log;
  run: RunDirectory;
}): Promise<DataPlanePort> {
  const { queues, busyPollUs, log, run } = options;
  return DataPlane.open({ queues, busyPollUs, log, recordDirectory: run.data });
}
