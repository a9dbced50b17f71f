/**
 * Control is stopped, then killed, in the middle of writing the tables, with a wake-up unread: the
 * data process goes on by what it has.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { processesIn } from '../../src/demo/processes.ts';
import { addressOf, libc } from '../../src/sys/libc/libc.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import { skipWithoutTaking, take } from '../support/take.ts';
import { countersOf, cpuShares, dataProcess, nowMs, startRig, statusOf } from './rig.ts';

const ALONE_MS = 600;
/** Descriptors of a data process, and the word of the second that is odd while control writes a link's row. */
const WAKE_FD = 4;
const TABLES_FD = 6;
const VERSION_OFFSET = new TableSegment(new ArrayBuffer(TABLES_BYTES)).links.offset;
/** Adds `step` to the word that says whether control writes. */
function moveVersion(pid: number, step: number): void {
  const file = openSync(`/proc/${pid}/fd/${TABLES_FD}`, 'r+');
  const word = new Int32Array(1);
  readSync(file, word, 0, 4, VERSION_OFFSET);
  word[0] = (word[0] ?? 0) + step;
  writeSync(file, word, 0, 4, VERSION_OFFSET);
  closeSync(file);
}

/** Wakes the data process as control does. */
function ring(t: Test, pid: number): void {
  const event = take(pid, WAKE_FD);
  t.equal(libc.write(event, addressOf(new BigUint64Array([1n])), 8), 8, 'the data process is rung');
  libc.close(event);
}

const skip = skipWithoutTun() || skipWithoutTaking();

t.test('control stops, then dies, while it writes', { skip }, async (t) => {
  const { a, pulse } = await startRig(t);
  const control = (await statusOf(a)).pid;
  const { pid } = await dataProcess(a);
  process.kill(control, 'SIGSTOP');
  try {
    moveVersion(pid, 1);
    ring(t, pid);
    const stoppedMs = nowMs();
    const [share = 1] = await cpuShares([pid], ALONE_MS);
    t.ok(share < 0.6, `the data process does not spin: ${share.toFixed(2)} of a core`);
    await pulse.back(stoppedMs, 2000);
    t.pass('traffic goes on while control is stopped');
    moveVersion(pid, -1);
  } finally {
    process.kill(control, 'SIGCONT');
  }
  const counters = await until('control answers', 5000, () => countersOf(a).catch(() => undefined));
  t.equal(counters['event.tables_unreadable'], 1);

  process.kill(control, 'SIGSTOP');
  moveVersion(pid, 1);
  for (const other of processesIn(a.namespace.inode)) {
    if (other !== pid && other !== process.pid) killIfThere(other);
  }
  ring(t, pid);
  const killedMs = nowMs();
  await sleep(ALONE_MS);
  const { lost, longestMs } = pulse.gaps(killedMs);
  await pulse.back(nowMs(), 2000);
  t.pass('traffic goes on when control has died there');
  t.comment(`${lost} lost, longest silence ${Math.round(longestMs)} ms`);
});
