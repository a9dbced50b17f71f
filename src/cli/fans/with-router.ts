/**
 * Asking a router for something that begins one where none runs: what a killed one left is taken away
 * first, and one that was begun for nothing ends again.
 * @module
 */
import { callRouter } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { startRouter, waitReady } from '../../control/supervise.ts';
import type { Io } from '../verb/verb.ts';
import { cleanUp } from './up.ts';

/** Runs `work` with a router that answers. */
export async function withRouter<T>(run: RunDirectory, io: Io, work: () => Promise<T>): Promise<T> {
  run.create();
  const lock = run.lock('lock', { wait: true });
  const free = run.lock('router.lock', { wait: false });
  if (free === undefined) await waitReady(run);
  else {
    await cleanUp(run, io);
    await startRouter(run, free);
    free.release();
  }
  try {
    return await work();
  } catch (error) {
    // One that was started for nothing need not stay.
    await callRouter(run, '/v1/end-if-idle', {}).catch(() => undefined);
    throw error;
  } finally {
    lock?.release();
  }
}
