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
