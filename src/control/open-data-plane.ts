/**
 * Where the control room gets its data plane from.
 * @module
 */
import { FanwayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { DataPlanePort } from './tunnel-set.ts';

/** Opens the data plane with its data processes. */
export async function openDataPlane(_options: {
  queues: number;
  log: Log;
}): Promise<DataPlanePort> {
  throw new FanwayError('no-data-plane', 'the data plane is not part of this build');
}
