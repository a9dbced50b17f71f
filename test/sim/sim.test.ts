import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { skipLong } from '../support/long.ts';
import { type Outcome, play } from './play.ts';
import { planScenario } from './scenario.ts';

/** The simulator as it is built for the tests: beside this file. */
const PROGRAM = fileURLToPath(new URL('./main.js', import.meta.url));
const IS_LONG = skipLong === false;
const SEEDS = IS_LONG ? 200 : 30;
/** Of each event at least so many: a simulator in which nothing happens would pass as well. */
const EVENTS_MIN = IS_LONG ? 100 : 5;

t.test(`${SEEDS} seeds keep every invariant`, async (t) => {
  const args = [PROGRAM, '--seeds', String(SEEDS), '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const sizes = new Set<number>();
  let events = { suspicions: 0, deaths: 0, conflicts: 0 };
  let played = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const outcome: Outcome = JSON.parse(line);
    played += 1;
    sizes.add(outcome.nodes);
    events = {
      suspicions: events.suspicions + outcome.suspicions,
      deaths: events.deaths + outcome.deaths,
      conflicts: events.conflicts + outcome.conflicts,
    };
    t.same(outcome.failures, [], `npm run sim -- --seed ${outcome.seed} --verbose`);
  }
  t.equal(await ended, 0, 'exit code');
  t.equal(played, SEEDS);
  t.ok(
    sizes.has(64) && (!IS_LONG || sizes.has(128)),
    `clusters of ${[...sizes].sort((a, b) => a - b)}`,
  );
  for (const [what, count] of Object.entries(events)) t.ok(count > EVENTS_MIN, `${count} ${what}`);
});

t.test('the seeds of the test try every kind of trouble', async (t) => {
  const kinds = new Map<string, number>();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    for (const step of planScenario(seed).steps) {
      const kind = step.do === 'cut' ? `cut ${step.cut.shape}` : step.do;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  const all = ['announce', 'withdraw', 'take', 'kill', 'leave', 'start', 'freeze', 'slow'];
  const cuts = ['cut split', 'cut one-way', 'cut partial', 'heal'];
  for (const kind of [...all, 'renumber', 'leap', 'conditions', ...cuts]) {
    t.ok((kinds.get(kind) ?? 0) >= SEEDS / 10, `${kind}: ${kinds.get(kind) ?? 0} times`);
  }
});

t.test('a seed gives the same run each time', async (t) => {
  for (const seed of [1, 3]) {
    const [first, second] = [1, 2].map(() => {
      const lines: string[] = [];
      const { tookMs: _real, ...outcome } = play(planScenario(seed), (line) => lines.push(line));
      return { outcome, lines };
    });
    t.ok((first?.lines.length ?? 0) > 100, `${first?.lines.length} events`);
    t.same(first?.lines, second?.lines);
    t.same(first?.outcome, second?.outcome);
  }
});
