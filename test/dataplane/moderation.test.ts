import t from 'tap';
import {
  MODERATION_US,
  Moderation,
  REALTIME_REST_US,
  URGENT_US,
} from '../../src/dataplane/pace/moderation.ts';

/** Rounds of some packets each way, `gapMs` apart, for `ms`; returns how long each one was to sleep. */
function run(
  moderation: Moderation,
  out: number,
  inward: number,
  gapMs: number,
  ms = 50,
  fromMs = 1000,
): number[] {
  const naps: number[] = [];
  for (let nowMs = fromMs; nowMs < fromMs + ms; nowMs += gapMs) {
    naps.push(moderation.note(out, inward, nowMs));
  }
  return naps;
}

const ordinary = (): Moderation => new Moderation(() => false);

t.test('what streams one way in small rounds is let gather', async (t) => {
  for (const [out, inward] of [
    [4, 0],
    [0, 4],
    [4, 1],
  ] as const) {
    const naps = run(ordinary(), out, inward, 0.05);
    t.equal(naps.at(-1), MODERATION_US, `${out} out, ${inward} in`);
    t.ok(
      naps.slice(0, 90).every((us) => us === 0),
      'not before it has lasted for a moment',
    );
  }
});

t.test('nothing else is held up', async (t) => {
  const never = (what: string, naps: number[]): void => {
    t.ok(
      naps.every((us) => us === 0),
      what,
    );
  };
  never('a flood of ping: one each way', run(ordinary(), 1, 1, 0.05));
  never('streams both ways', run(ordinary(), 8, 6, 0.05));
  never('a slow stream', run(ordinary(), 1, 0, 0.1));
  never('large rounds', run(ordinary(), 64, 0, 0.5));
  const moderation = ordinary();
  run(moderation, 4, 0, 0.05);
  t.equal(moderation.note(1, 0, 3000), 0, 'the first packet after a silence');
});

t.test('a real-time loop lets more of what streams gather', async (t) => {
  const moderation = new Moderation(() => true);
  let nap = 0;
  for (let nowMs = 1000; nowMs < 1050; nowMs += 0.4) {
    moderation.waited(nowMs - 0.3, nowMs);
    nap = moderation.note(60, 0, nowMs);
  }
  t.equal(nap, URGENT_US);
  t.equal(moderation.isUrgent, true);
  t.equal(run(ordinary(), 60, 0, 0.4).at(-1), 0);
});

t.test('a real-time loop leaves others a tenth of its core, whatever comes', async (t) => {
  let isRealtime = true;
  const moderation = new Moderation(() => isRealtime);
  const share = (fromMs: number): number => {
    let nowMs = fromMs;
    let restMs = 0;
    while (nowMs < fromMs + 1000) {
      nowMs += 0.1;
      const us = moderation.note(64, 64, nowMs);
      if (us === 0) continue;
      t.equal(us, REALTIME_REST_US);
      restMs += us / 1000;
      const beganMs = nowMs;
      nowMs += us / 1000;
      moderation.waited(beganMs, nowMs);
    }
    return restMs / 1000;
  };
  const rest = share(1000);
  t.ok(rest > 0.09 && rest < 0.12, `${rest} of the time`);
  // It waits for packets again and again: nobody needs more from it.
  moderation.waited(2990, 2999.5);
  for (let nowMs = 3000; nowMs < 3100; nowMs += 1) {
    t.equal(moderation.note(64, 64, nowMs), 0);
    moderation.waited(nowMs, nowMs + 0.5);
  }
  isRealtime = false;
  t.equal(share(5000), 0, 'an administrator took it back');
});
