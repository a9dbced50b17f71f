/**
 * Asking a router for something that begins one where none runs: what a killed one left is taken away
 * first, and one that was begun for nothing ends again.
 * @module
 */
import { endIfIdleCall } from '../../api/fans.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { startRouter, waitReady } from '../../control/supervise.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import type { Io } from '../verb/verb.ts';
import { cleanUp } from './up.ts';

/** Runs `work` with a router that answers. @param what the verb, told when this user may not begin one */
export async function withRouter<T>(
  run: RunDirectory,
  io: Io,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  run.create();
  const lock = run.lock('lock', { wait: true });
  const free = run.lock('router.lock', { wait: false });
  if (free === undefined) await waitReady(run);
  else {
    requireNetAdmin(what);
    await cleanUp(run, io);
    await startRouter(run, free);
    free.release();
  }
  try {
    return await work();
  } catch (error) {
    // One that was started for nothing need not stay.
    await ask(run, endIfIdleCall, {}).catch(() => undefined);
    throw error;
  } finally {
    lock?.release();
  }
}
