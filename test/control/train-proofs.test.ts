import t from 'tap';
import { TrainLedger, tokenText } from '../../src/control/plane/paths/train-ledger.ts';
import { type TrainAim, TrainProofs } from '../../src/control/plane/paths/train-proofs.ts';
import { unevenBytes } from '../../src/dataplane/ground/segment.ts';
import { EventKind, type NetEvent } from '../../src/table/events.ts';
import { TrainUse } from '../../src/table/links/path-limits.ts';
import { emitTrainTest, readTrainTest, TrainShape } from '../../src/wire/lan/train-test.ts';

const PEER = 0xac1e011b;
const DAY_MS = 86_400_000;
const SENT = { [TrainShape.Single]: 3, [TrainShape.Equal]: 8, [TrainShape.Uneven]: 8 };

/** Proofs over ways that say themselves what gets through, on a clock of their own. */
function world() {
  const ways = new Map<string, (shape: TrainShape) => number>();
  const asked: string[] = [];
  const told: string[] = [];
  let [nowMs, number, way] = [0, 0, ''];
  const proofs = new TrainProofs({
    send(aim, token) {
      way = aim.way;
      asked.push(token.toString('hex'));
      return SENT;
    },
    async ask() {
      const through = ways.get(way);
      if (through === undefined) throw new Error('it is older');
      const shapes = [TrainShape.Single, TrainShape.Equal, TrainShape.Uneven] as const;
      return { [asked.at(-1) ?? '']: shapes.map(through) };
    },
    token: () => Buffer.from((++number).toString(16).padStart(12, '0'), 'hex'),
    async wait() {},
    now: () => nowMs,
    told: (text) => told.push(text),
  });
  const aim: TrainAim = { peer: PEER, member: 'b', way: 'plain' };
  const step = async (more: Partial<TrainAim> = {}): Promise<TrainUse | undefined> => {
    proofs.step([{ ...aim, ...more }]);
    for (let i = 0; i < 100; i++) await Promise.resolve();
    return proofs.of(PEER)?.use;
  };
  return { ways, asked, told, proofs, step, pass: (ms: number) => (nowMs += ms) };
}

const all = (shape: TrainShape): number => SENT[shape];
const but =
  (...damaged: TrainShape[]) =>
  (shape: TrainShape): number =>
    damaged.includes(shape) ? 0 : SENT[shape];

t.test('a shape that arrives damaged is not used, until it is whole again', async (t) => {
  const { ways, asked, told, proofs, step, pass } = world();
  ways.set('plain', all);
  t.equal(await step(), TrainUse.Any);
  t.equal(asked.length, 1, 'one test is enough for what is well');
  await step();
  t.equal(asked.length, 1, 'and for a while');
  ways.set('card', but(TrainShape.Equal));
  t.equal(await step({ way: 'card' }), TrainUse.Uneven, 'another way is tested at once');
  t.equal(asked.length, 4, 'what is damaged is tested three times');
  t.same([...proofs.limits()], [[PEER, TrainUse.Uneven]]);
  ways.set('card', all);
  pass(DAY_MS - 1);
  t.equal(await step({ way: 'card' }), TrainUse.Uneven);
  pass(1);
  t.equal(await step({ way: 'card' }), TrainUse.Any, 'after a day it is tried again');
  ways.set('worse', but(TrainShape.Equal, TrainShape.Uneven));
  t.equal(await step({ way: 'worse' }), TrainUse.None);
  t.equal(told.length, 3, 'each change is told once');
});

t.test('loss is no damage, and who does not answer says nothing', async (t) => {
  const { ways, asked, proofs, step, pass } = world();
  let tests = 0;
  ways.set('plain', (shape) => SENT[shape] - (shape === TrainShape.Equal && tests++ < 2 ? 1 : 0));
  t.equal(await step(), TrainUse.Any, 'a datagram of each of two trains was lost');
  ways.set('lossy', (shape) => SENT[shape] - 1);
  t.equal(await step({ way: 'lossy' }), TrainUse.Any, 'what was known stays');
  const after = asked.length;
  await step({ way: 'lossy' });
  t.equal(asked.length, after, 'not at once again');
  pass(5000);
  ways.set('lossy', but(TrainShape.Equal));
  t.equal(await step({ way: 'lossy' }), TrainUse.Uneven);
  t.equal(await step({ way: 'old' }), TrainUse.Uneven, 'an older build');
  t.equal(proofs.limits().size, 1);
});

t.test('the ledger counts each datagram once, and has an end', async (t) => {
  const ledger = new TrainLedger();
  const event = (mac: number, what: number): NetEvent => ({
    ...{ kind: EventKind.TrainTest, link: 0, mac, peer: what, detail: 0 },
    address: new Uint8Array(4),
  });
  ledger.note([event(7, 0x100), event(7, 0x101), event(7, 0x101), event(7, 2)]);
  t.same(ledger.counts(), { [tokenText(7)]: [1, 2, 0] });
  ledger.note(Array.from({ length: 500 }, (_, i) => event(i + 100, 0)));
  t.ok(Object.keys(ledger.counts()).length <= 128);
});

t.test('what is not whole is not taken for a test', async (t) => {
  const frame = Buffer.alloc(300);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  emitTrainTest(frame, Buffer.from('0102030405ff', 'hex'), TrainShape.Uneven, 5);
  t.equal(readTrainTest(view, 14, 286), TrainShape.Uneven * 256 + 5);
  t.equal(readTrainTest(view, 14, 285), -1, 'cut');
  for (const at of [14, 24, 26, 40, 299]) {
    frame.writeUInt8(frame.readUInt8(at) ^ 0x40, at);
    t.equal(readTrainTest(view, 14, 286), -1, `byte ${at}`);
    frame.writeUInt8(frame.readUInt8(at) ^ 0x40, at);
  }
  t.equal(readTrainTest(view, 14, 13), -1);
});

t.test('segments that end short', async (t) => {
  for (const size of [1448, 1398, 536, 100, 9]) {
    for (let count = 2; count <= 45; count++) {
      const bytes = unevenBytes(size * count, size);
      t.ok(bytes < size && (size * count) % bytes !== 0, `${count} of ${size}: ${bytes}`);
    }
  }
  t.equal(unevenBytes(2, 1), 1, 'a byte cannot be shorter');
});
