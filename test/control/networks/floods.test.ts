import t from 'tap';
import { FloodChoices, floodTargets } from '../../../src/control/networks/floods.ts';
import { HISTORIES_MAX, MacHistory, PLACES_MAX } from '../../../src/control/networks/history.ts';
import type { Best, EntryId } from '../../../src/rib/entry.ts';

const [LOCAL, B, C] = [0xac1e001c, 0xac1e011b, 0xac1e021a];

t.test('whom floods go to', async (t) => {
  const view = { members: [C, LOCAL, B], replicators: [C], vteps: [B, C], hasRouter: false };
  const to = (bum: 'none' | 'replicate' | 'learn' | 'service-node', serviceNodes: number[] = []) =>
    floodTargets({ bum, serviceNodes, replicator: false, local: LOCAL }, view);
  t.strictSame(to('none').hosts, [], 'nobody unless asked for');
  const ofRouter = floodTargets(
    { bum: 'none', serviceNodes: [], replicator: false, local: LOCAL },
    { ...view, vteps: [C, LOCAL, B], hasRouter: true },
  );
  t.strictSame(ofRouter.hosts, [B, C], 'what a router here says goes to all');
  t.strictSame(to('replicate').hosts, [B, C], 'all others');
  t.strictSame(to('learn').hosts, [B, C]);
  t.strictSame(to('service-node', [B, C]).hosts, [C], 'the one that says it copies');
  t.strictSame(to('service-node', [B]).hosts, [B], 'else one that is there');
  const node = { serviceNodes: [LOCAL, C], replicator: true, local: LOCAL };
  const ofNode = floodTargets({ bum: 'service-node', ...node }, view);
  t.strictSame(ofNode.hosts, [B, C], 'a node copies to all');
  const lost = to('service-node', [0xac1e0909]);
  t.strictSame(lost.hosts, []);
  t.match(lost.problem, /no service node is there/);
});

t.test('who took over when', async (t) => {
  const choices = new FloodChoices();
  const spec = { name: 'br-blue', bum: 'service-node', replicator: false } as const;
  const all = (hosts: number[]) => ({ hosts, problem: hosts.length === 0 ? 'nobody' : '' });
  t.ok(choices.note(spec, all([B]), 10), 'the first one');
  t.match(choices.through('br-blue'), { host: B, changes: 0 });
  t.notOk(choices.note(spec, all([B]), 20), 'the same');
  t.ok(choices.note(spec, all([C]), 30), 'another');
  t.match(choices.through('br-blue'), { host: C, changes: 1, changedMs: 30 });
  t.ok(choices.note(spec, all([]), 40));
  t.equal(choices.problem('br-blue'), 'nobody');
  t.notOk(choices.note({ ...spec, name: 'br-red', bum: 'replicate' }, all([B, C]), 50), 'no node');
  choices.forget('br-blue');
  t.match(choices.through('br-blue'), { host: undefined, changes: 0 });
});

t.test('the past of a MAC has an end, and so have MACs', async (t) => {
  const history = new MacHistory();
  const best: Best = { source: 'local', peer: LOCAL, owner: 'here', sequence: 0, mac: 0 };
  const note = (mac: number, atMs: number, after: Best | undefined): void => {
    const id: EntryId = { link: 'br-blue', kind: 'mac', mac };
    history.note([{ id, before: undefined, after }], atMs);
  };
  for (let i = 0; i < PLACES_MAX + 3; i++) note(1, i, i % 2 === 0 ? best : undefined);
  const past = history.of('br-blue', 1);
  t.equal(past.length, PLACES_MAX);
  t.equal(past[0]?.atMs, 3, 'the oldest went');
  t.equal(past.at(-1)?.best?.owner, 'here');
  for (let mac = 2; mac < HISTORIES_MAX + 2; mac++) note(mac, mac, best);
  t.equal(history.of('br-blue', 1).length, 0, 'the one that changed longest ago went');
  t.equal(history.of('br-red', 2).length, 0, 'another network knows nothing');
});
