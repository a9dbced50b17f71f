/**
 * A MAC that shows up here while another host has it: who is asked, what is believed, and what is kept.
 * @module
 */
import t, { type Test } from 'tap';
import { ASKED_MAX, Contests } from '../../../src/control/networks/moves/contests.ts';
import { silentLog } from '../../../src/log.ts';
import type { Best } from '../../../src/rib/entry.ts';

const LINK = 'br-blue';
const MAC = 0x0200_0000_0009;
const THERE = 0xac1e_0002;
const GOSSIP: Best = { source: 'gossip', peer: THERE, owner: 'there', sequence: 3, mac: 0 };

function make(t: Test, best: Best | undefined = GOSSIP) {
  const at = { nowMs: 0, asked: [] as number[], notes: [] as string[] };
  const contests = new Contests({
    ...{ best: () => best, log: silentLog, nowMs: () => at.nowMs },
    note: (_link, _mac, text) => void at.notes.push(text),
  });
  contests.speaker = {
    askWitness: (_vni, _owner, mac) => at.asked.push(mac) > 0,
    testify: () => undefined,
  };
  t.teardown(() => contests.close());
  return { at, contests, ask: (mac = MAC) => contests.ask(LINK, 100, mac) };
}

t.test('only whoever can say it is asked', async (t) => {
  for (const best of [
    undefined,
    { ...GOSSIP, source: 'bgp' as const },
    { ...GOSSIP, source: 'kept' as const },
    { ...GOSSIP, isRelayed: true },
  ]) {
    const { at, contests } = make(t);
    const other = new Contests({
      ...{ best: () => best, log: silentLog, nowMs: () => 0, note: () => undefined },
    });
    other.speaker = contests.speaker;
    t.equal(other.ask(LINK, 100, MAC), undefined, best?.source ?? 'nobody');
    t.strictSame(at.asked, []);
  }
  const { contests, ask } = make(t);
  contests.speaker = { askWitness: () => false, testify: () => undefined };
  t.equal(ask(), undefined, 'nobody knows where it is heard');
});

t.test('gone there: it has moved', async (t) => {
  const { at, contests, ask } = make(t);
  const answer = ask();
  t.equal(ask(), answer, 'one question for all that want to know');
  contests.answered(LINK, 'somebody else', MAC, true);
  contests.answered(LINK, 'there', MAC, false);
  t.equal(await answer, true);
  t.strictSame([at.asked, at.notes, contests.of(LINK)], [[MAC], [], []]);
});

t.test('alive there: a conflict, told once, asked about again', async (t) => {
  const { at, contests, ask } = make(t);
  const answer = ask();
  contests.answered(LINK, 'there', MAC, true);
  t.equal(await answer, false);
  t.match(at.notes, [/here and at 172\.30\.0\.2, and both answer/]);
  t.match(contests.of(LINK), [{ mac: MAC, host: THERE }]);
  t.equal(await ask(), false, 'for a while nobody is asked again');
  t.equal(at.asked.length, 1);
  t.strictSame(contests.due(), []);
  at.nowMs = 2001;
  t.match(contests.due(), [{ mac: MAC }]);
  t.strictSame(contests.due(), [], 'each once');
  const again = ask();
  contests.answered(LINK, 'there', MAC, true);
  t.equal(await again, false);
  t.equal(at.notes.length, 1, 'not told again');
  at.nowMs += 2001;
  const last = ask();
  t.ok(contests.left(LINK, MAC), 'its host withdraws it');
  t.equal(await last, true);
  t.strictSame(contests.of(LINK), []);
});

t.test('no answer: believed as before', async (t) => {
  const { ask } = make(t);
  t.equal(await ask(), true);
});

t.test('who invents MACs is not believed for want of time', async (t) => {
  const { at, contests, ask } = make(t);
  for (let mac = 1; mac <= ASKED_MAX; mac++) void ask(mac);
  t.equal(await ask(MAC), false);
  t.equal(at.asked.length, ASKED_MAX);
  for (let mac = 1; mac <= ASKED_MAX; mac++) contests.answered(LINK, 'there', mac, true);
  contests.conflict(LINK, MAC, THERE);
  t.equal(contests.of(LINK).length, ASKED_MAX, 'and no more are kept in mind');
});
