/**
 * Where the control room gets its data plane from.
 * @module
 */
import type { Log } from '../../log.ts';
import type { Priority } from '../../sys/process/priority.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { DataPlane } from './data-plane.ts';
import type { DeviceOpener } from './devices.ts';
import type { DataPlanePort } from './tunnel-set.ts';

export type DataPlaneOptions = {
  /** Data processes, each with its own device queue and sockets: 1 to 16, 1 unless given. */
  queues?: number;
  /** How long a data process spins after traffic before it sleeps, µs. */
  busyPollUs?: number;
  /** How they are scheduled; `normal` unless given. */
  priority?: Priority;
  log: Log;
  /** Where running data processes are noted for a successor of this process. */
  recordDirectory?: string;
  /** Opens the links' devices; in this process's own network namespace unless given. */
  openDevice?: DeviceOpener;
};

/** Opens the data plane with its data processes. */
export function openDataPlane(options: {
  queues: number;
  busyPollUs: number;
  priority: Priority;
  log: Log;
  run: RunDirectory;
  openDevice?: DeviceOpener | undefined;
}): Promise<DataPlanePort> {
  const { run, openDevice, ...plane } = options;
  return DataPlane.open({
    ...{ ...plane, recordDirectory: run.data },
    ...(openDevice !== undefined && { openDevice }),
  });
}
