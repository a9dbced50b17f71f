import t from 'tap';
import { LATE_MS, WakingClock } from '../../src/gossip/base/waking-clock.ts';
import { AWARENESS_MAX, Awareness } from '../../src/gossip/members/awareness.ts';
import { PathQuality } from '../../src/gossip/members/path-quality.ts';

t.test('Awareness stays in its bounds and stretches time-outs', async (t) => {
  const awareness = new Awareness();
  t.equal(awareness.scale(500), 500);
  awareness.apply(-3);
  t.equal(awareness.score, 0);
  awareness.apply(2);
  t.equal(awareness.scale(500), 1500);
  awareness.apply(100);
  t.equal(awareness.score, AWARENESS_MAX - 1);
  t.equal(awareness.scale(1000), 8000);
  awareness.apply(-1);
  t.equal(awareness.score, AWARENESS_MAX - 2);
});

t.test('WakingClock does not count time that the node slept through', async (t) => {
  const clock = new WakingClock(10_000);
  t.equal(clock.advance(10_000), 0, 'the first tick comes at once');
  clock.sleep(100);
  t.equal(clock.advance(10_100), 0);
  t.equal(clock.awakeMs, 100);
  clock.sleep(100);
  t.equal(clock.advance(10_200 + LATE_MS), 0, 'a little late is not late');
  t.equal(clock.awakeMs, 200 + LATE_MS);
  clock.sleep(100);
  t.equal(clock.advance(40_300 + LATE_MS), 30_000, 'stopped for 30 s');
  t.equal(clock.awakeMs, 300 + LATE_MS, 'of which only the time asked for counts');
  clock.sleep(100);
  t.equal(clock.advance(0), 0, 'a clock that runs backwards adds nothing');
  t.equal(clock.awakeMs, 300 + LATE_MS);
});

t.test('PathQuality smooths the round trip and tells the loss of the last 64', async (t) => {
  const path = new PathQuality();
  t.equal(path.rttMs, undefined);
  t.equal(path.loss, 0);
  path.answered(8);
  t.equal(path.rttMs, 8);
  path.answered(16);
  t.equal(path.rttMs, 9);
  path.unanswered();
  t.equal(path.rttMs, 9);
  t.equal(path.loss, 1 / 3);
  for (let i = 0; i < 64; i++) path.answered(9);
  t.equal(path.loss, 0, 'what is older than 64 probes is forgotten');
  for (let i = 0; i < 16; i++) path.unanswered();
  t.equal(path.loss, 0.25);
});
