/**
 * The change of data processes: at the predecessor's word, not at its end, and not before it either.
 */
import t from 'tap';
import { runFanway } from '../../src/demo/router.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { sleep } from '../support/patience.ts';
import { checkBalance, countersOf, dataProcess, startFlow, startRig } from './rig.ts';

const skip = skipWithoutTun() || skipLong;
t.setTimeout(90_000);

const PPS = 2000;
/** A machine that is overrun may keep both processes waiting for longer than a queue holds. */
const LOST_MAX = 0.005;

t.test('a turn begins when the predecessor has stopped, or has ended without a word', async (t) => {
  const { turn } = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  t.notOk(turn.has(1), 'nobody has been called');
  turn.pass(1, 0);
  t.ok(turn.has(1), 'the first has no predecessor');
  turn.pass(2, 1);
  t.notOk(turn.has(1), 'its turn is over');
  t.notOk(turn.has(2), 'but it may still write');
  turn.stopped(1);
  t.ok(turn.has(2));
  turn.pass(3, 2);
  t.notOk(turn.has(3), 'the word of another does not count');
  turn.pass(3, 0);
  t.ok(turn.has(3), 'control says that it is gone');
});

t.test('another fan comes and goes beside traffic', { skip }, async (t) => {
  const rig = await startRig(t, { pulse: true });
  const { a, b, from, to } = rig;
  const there = await startFlow(from, to, { rate: PPS, seconds: 6 });
  const back = await startFlow(to, from, { rate: PPS, seconds: 6, port: 7101 });
  t.teardown(() => {
    there.kill();
    back.kill();
  });
  const pids = [(await dataProcess(a)).pid];
  for (const verb of ['up', 'down']) {
    await runFanway(a, [
      verb,
      '10.0.0.0/8',
      'eth0/16',
      ...(verb === 'up' ? ['--no-masquerade'] : []),
    ]);
    pids.push((await dataProcess(a)).pid);
    await sleep(300);
  }
  t.equal(new Set(pids).size, 3, 'three data processes have had their turn');
  t.equal((await dataProcess(a)).restarts, 0, 'and none of them failed');
  for (const flow of [there, back]) {
    const { sent, received } = await flow.finish();
    const lost = sent.sent - received.received;
    t.ok(lost <= LOST_MAX * sent.sent, `${lost} of ${sent.sent} lost`);
    t.equal(received.late, 0, 'order is kept');
    t.equal(received.duplicates, 0);
  }
  rig.pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
  const counters = await countersOf(a);
  t.equal((counters['egress.drop.stale'] ?? 0) + (counters['ingress.drop.stale'] ?? 0), 0);
});
