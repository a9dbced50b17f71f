import t from 'tap';
import { skipLong } from '../support/long.ts';
import {
  convergenceMs,
  deathDelaysMs,
  entryDelaysMs,
  falseDeaths,
  healing,
  idleBytesPerSecond,
  LOSSY,
  leaveDelaysMs,
  percentile,
  startMs,
} from './figures.ts';

const SEED = 4;
const size = { seed: SEED, nodes: 64 };
const MINUTE_MS = 60_000;

/** `npm run bench -- --only gossip` measures the same for longer. */
t.test('what the gossip channel is held to, in virtual time', { skip: skipLong }, async (t) => {
  const below = (what: string, value: number, bar: number) =>
    t.ok(value <= bar, `${what}: ${value.toFixed(1)}, at most ${bar} (seed ${SEED})`);
  below('ms, an entry everywhere, p99', percentile(entryDelaysMs(size, 60), 0.99), 2000);
  below('ms, the same with loss', percentile(entryDelaysMs(size, 60, LOSSY), 0.99), 2000);
  below('ms, a silent death', Math.max(...deathDelaysMs(size, 4)), 10_000);
  below('ms, a clean leave', Math.max(...leaveDelaysMs(size, 6)), 1000);
  below('bytes a second, idle', idleBytesPerSecond(size, MINUTE_MS), 5000);
  below('ms, all start at once', startMs(size), 15_000);
  const entries = 4_000;
  below(`ms, ${entries} entries at once`, convergenceMs(size, entries), 60_000);
});

t.test('nobody healthy dies', async (t) => {
  const lossy = falseDeaths({ seed: SEED, nodes: 32 }, 3 * MINUTE_MS, { conditions: LOSSY });
  t.equal(lossy.healthy, 0, `10 % loss, ${lossy.suspicions} suspicions`);
  const starved = falseDeaths({ seed: SEED, nodes: 16 }, 10 * MINUTE_MS, { slow: 2 });
  t.equal(starved.healthy, 0, `2 of 16 slow, ${starved.suspicions} suspicions`);
  t.equal(starved.slow, 0, 'nor do the slow');
});

t.test('halves that were apart for long come together alone', async (t) => {
  const { wholeMs, equalMs, cameBack } = healing({ seed: SEED, nodes: 16 }, 40 * MINUTE_MS);
  t.ok(wholeMs <= 30_000, `whole after ${wholeMs} ms`);
  t.ok(equalMs <= 60_000, `equal after ${equalMs} ms`);
  t.equal(cameBack, 0, 'nothing withdrawn is back');
});
