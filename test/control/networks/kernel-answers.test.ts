/**
 * When the kernel's bridge is told to answer ARP, and when no more.
 * @module
 */
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { AnswersHost, ArpQuestion } from '../../../src/control/host/arp/answers.ts';
import {
  ANSWERS_MAX,
  KernelAnswers,
  LIFETIME_MS,
} from '../../../src/control/networks/kernel-answers.ts';
import { silentLog } from '../../../src/log.ts';
import { type Best, type EntryId, keyOfEntry } from '../../../src/rib/entry.ts';

const LINK = 'br-blue';
const NETWORK = { name: LINK, bridge: 7, device: 8 };
const [MAC, OTHER, HERE] = [0x0200_0000_0009, 0x0200_0000_0008, 0x0200_0000_0001];
const ADDRESS = 0x0a01_0009;
const OTHER_ADDRESS = 0x0a01_0008;
const THERE = 0xac1e_0002;

const ipId = (address: number): EntryId => ({ link: LINK, kind: 'mac+ip', address });
const macId = (mac: number): EntryId => ({ link: LINK, kind: 'mac', mac });

function told(mac: number, source: Best['source'] = 'gossip'): Best {
  return { source, peer: THERE, owner: 'there', sequence: 0, mac };
}

/** A bridge that is a table, and entries that a test decides. */
function make(t: Test, left: number[] = []) {
  const at = {
    ...{ nowMs: 1000, isForeign: false, isDeaf: false },
    bridge: new Map(left.map((address) => [address, MAC])),
    questions: [] as ArpQuestion[],
    heard: [] as string[],
    /** What somebody else has written into it. */
    changed: new Set<number>(),
    said: [] as string[],
    best: new Map<string, Best>(),
    added: 0,
  };
  const host: AnswersHost = {
    add(_bridge, _device, address, mac) {
      at.added++;
      if (!at.isForeign) at.bridge.set(address, mac);
      at.changed.delete(address);
      return Promise.resolve(!at.isForeign);
    },
    remove: (_bridge, address) => Promise.resolve(void at.bridge.delete(address)),
    list: () =>
      Promise.resolve(
        [...at.bridge].map(([address, mac]) => {
          return { address, mac, isAsWritten: !at.changed.has(address) };
        }),
      ),
    questions() {
      if (at.isDeaf) throw new Error('not permitted');
      return { take: () => at.questions.splice(0), close: () => undefined };
    },
  };
  const answers = new KernelAnswers({
    ...{ host: () => host, nowMs: () => at.nowMs },
    log: { ...silentLog, warn: (_cause, text) => void at.said.push(text) },
    best: (id) => at.best.get(keyOfEntry(id)),
    local: () => ({
      seen: (mac, address) => void at.heard.push(`seen ${mac} ${address}`),
      duplicate: (mac, address, where) => void at.heard.push(`twice ${mac} ${address} ${where}`),
    }),
  });
  answers.begin(NETWORK);
  t.teardown(() => answers.close());
  const set = (id: EntryId, best: Best | undefined): void => {
    const key = keyOfEntry(id);
    const before = at.best.get(key);
    if (best === undefined) at.best.delete(key);
    else at.best.set(key, best);
    answers.note([{ id, before, after: best }]);
  };
  const known = (address: number, mac = MAC): void => {
    set(macId(mac), told(0));
    set(ipId(address), told(mac));
  };
  /** The data path has answered for an address, and all that follows is done. */
  const answered = async (address = ADDRESS): Promise<void> => {
    answers.answeredByUs(LINK, address);
    await answers.told(LINK);
  };
  /** All that was decided has reached the bridge. */
  const settled = async (): Promise<number[]> => {
    for (let i = 0; i < 3; i++) await turn();
    return [...at.bridge.keys()];
  };
  return { at, answers, set, known, answered, settled };
}

t.test('the bridge is told of what was answered for, and of nothing else', async (t) => {
  const { at, answers, set, known, answered, settled } = make(t, [1, 2]);
  await answered();
  t.strictSame(await settled(), [], 'what was left there is gone, and nobody has this one');
  known(ADDRESS);
  t.strictSame(await settled(), [], 'nobody asked yet');
  await answered();
  t.strictSame([...at.bridge], [[ADDRESS, MAC]]);
  t.ok(answers.has(LINK, ADDRESS));
  t.match(answers.view(LINK), { addresses: 1, answered: 0, reason: '' });
  set(macId(HERE), told(0, 'local'));
  set(ipId(5), told(HERE, 'local'));
  await answered(5);
  t.strictSame(await settled(), [ADDRESS], 'one that is here answers itself');
});

t.test('what is so no more is taken back', async (t) => {
  for (const [what, change] of [
    ['another MAC', (set: ReturnType<typeof make>['set']) => set(ipId(ADDRESS), told(OTHER))],
    ['nobody', (set) => set(ipId(ADDRESS), undefined)],
    ['here', (set) => set(macId(MAC), told(0, 'local'))],
    ['a MAC that is gone', (set) => set(macId(MAC), undefined)],
  ] as [string, (set: ReturnType<typeof make>['set']) => void][]) {
    const { known, answered, settled, set, answers } = make(t);
    known(ADDRESS);
    await answered();
    t.strictSame(await settled(), [ADDRESS], what);
    // Decided before the bridge is told, too: what comes last counts.
    answers.answeredByUs(LINK, ADDRESS);
    change(set);
    t.strictSame(await settled(), [], what);
  }
  const { known, answered, settled, set, answers } = make(t);
  known(ADDRESS);
  await answered();
  set(macId(MAC), { ...told(0), peer: THERE + 1 });
  t.strictSame(await settled(), [ADDRESS], 'a MAC at another host is still that MAC');
  answers.forget(LINK);
  t.strictSame(await settled(), [], 'the network is gone');
});

t.test('what nobody asks for is forgotten', async (t) => {
  const { at, known, answered, settled, answers } = make(t);
  known(ADDRESS);
  await answered();
  at.nowMs += LIFETIME_MS - 1;
  at.questions.push({ mac: HERE, sender: 0, target: ADDRESS });
  answers.age();
  at.nowMs += LIFETIME_MS - 1;
  answers.age();
  t.strictSame(await settled(), [ADDRESS], 'it was asked for meanwhile');
  t.match(answers.view(LINK), { answered: 1 });
  at.nowMs += 1;
  answers.age();
  t.strictSame(await settled(), []);
});

t.test('who asks the bridge is heard', async (t) => {
  const { at, known, answered, set, answers } = make(t);
  known(ADDRESS);
  known(OTHER_ADDRESS, OTHER);
  await answered();
  set(ipId(5), told(HERE, 'local'));
  for (const sender of [5, 6, OTHER_ADDRESS, 0]) {
    at.questions.push({ mac: HERE, sender, target: ADDRESS });
  }
  at.questions.push({ mac: HERE, sender: 7, target: 8 });
  answers.age();
  t.strictSame(at.heard, [`seen ${HERE} 6`, `twice ${HERE} ${OTHER_ADDRESS} 172.30.0.2`]);
});

t.test('what the bridge does not answer stays with the data path', async (t) => {
  const { at, known, answered, settled } = make(t);
  known(ADDRESS);
  at.isForeign = true;
  await answered();
  at.isForeign = false;
  await answered();
  t.strictSame([await settled(), at.added], [[], 1], 'somebody has written it down');
  at.nowMs += 60_001;
  for (let i = 0; i < 20; i++) {
    await answered();
    at.nowMs += 1000;
  }
  t.ok(at.added > 2 && at.added < 10, 'told again a few times, then left alone');
  t.strictSame(await settled(), []);
  const deaf = make(t);
  deaf.known(ADDRESS);
  deaf.at.isDeaf = true;
  await deaf.answered();
  t.strictSame(await deaf.settled(), [], 'nothing is answered unheard');
  t.match(deaf.answers.view(LINK), { reason: /not permitted/ });
});

t.test('what somebody writes over is taken out at once, and told', async (t) => {
  for (const [what, change] of [
    ['another MAC', (at) => at.bridge.set(ADDRESS, OTHER)],
    ['another state', (at) => at.changed.add(ADDRESS)],
    ['one that nobody told it', (at) => at.bridge.set(OTHER_ADDRESS, OTHER)],
  ] as [string, (at: ReturnType<typeof make>['at']) => unknown][]) {
    const { at, answers, known, answered, settled } = make(t);
    known(ADDRESS);
    await answered();
    for (const address of [ADDRESS, OTHER_ADDRESS]) answers.written(NETWORK.bridge, address);
    t.strictSame([await settled(), at.said], [[ADDRESS], []], 'what we wrote ourselves is right');
    change(at);
    answers.written(NETWORK.bridge + 1, ADDRESS);
    t.strictSame(at.said, [], 'another bridge is not ours');
    for (let i = 0; i < 3; i++) {
      for (const address of [ADDRESS, OTHER_ADDRESS]) answers.written(NETWORK.bridge, address);
    }
    await settled();
    for (let i = 0; i < 6; i++) await settled();
    const isOther = what.startsWith('one');
    t.strictSame(await settled(), isOther ? [ADDRESS] : [], what);
    t.equal(at.said.length, 1, 'one line');
    t.match(at.said[0], isOther ? /10\.1\.0\.8: it answers for/ : /10\.1\.0\.9: it answers for/);
    at.nowMs += 3000;
    t.match(answers.righted(LINK), [/wrote over .*; put right 3 s ago/]);
    await answered(isOther ? OTHER_ADDRESS : ADDRESS);
    t.strictSame(await settled(), isOther ? [ADDRESS] : [], 'it is left to the data path');
    at.nowMs += 3_600_000;
    t.strictSame(answers.righted(LINK), [], 'long ago');
  }
});

t.test('there is a bound', async (t) => {
  const { at, known, answered, settled } = make(t);
  for (let address = 1; address <= 2 * ANSWERS_MAX; address++) {
    known(address);
    at.nowMs += 20;
    await answered(address);
  }
  const addresses = await settled();
  t.ok(addresses.length <= ANSWERS_MAX && addresses.length > ANSWERS_MAX / 2);
  t.ok(addresses.includes(2 * ANSWERS_MAX), 'the last ones are there');
  const before = at.added;
  for (let address = 1; address <= ANSWERS_MAX; address++) await answered(address);
  t.ok(at.added - before <= 128, 'and so many at once');
});
