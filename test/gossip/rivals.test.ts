import t from 'tap';
import { Rivals, SETTLED_MS, Standing, standingOf } from '../../src/gossip/table/rivals.ts';
import { type Block, ItemKind } from '../../src/wire/gossip/types.ts';
import { peerRecord } from './node-lab.ts';

const block = (instance: number, epoch: number): Block => ({
  ...{ publicKey: new Uint8Array(32), epoch, sequence: 1, live: [], left: false },
  items: [
    { ...peerRecord(instance), kind: ItemKind.Peer, instance: new Uint8Array(8).fill(instance) },
  ],
});

/** Two processes that answer each other: who falls silent, in which epoch, and who was told. */
function play(low: Standing, high: Standing, first: 1 | 2): string {
  const rivals = new Map([
    [1, new Rivals(new Uint8Array(8).fill(1), () => low)],
    [2, new Rivals(new Uint8Array(8).fill(2), () => high)],
  ]);
  let speaker: number = first;
  for (let epoch = 1; epoch < 40; epoch++) {
    const listener = 3 - speaker;
    if (rivals.get(listener)?.meet(block(speaker, epoch)).givesWay) {
      const bothKnow = [...rivals.values()].every(({ last }) => last !== undefined);
      return `${listener === 1 ? 'low' : 'high'}${bothKnow ? '' : ', one does not know'}`;
    }
    speaker = listener;
  }
  return 'nobody';
}

t.test('of two processes with one key the one that stands worse gives way', async (t) => {
  const { Alone, Young, Settled } = Standing;
  for (const low of [Alone, Young, Settled]) {
    for (const high of [Alone, Young, Settled]) {
      for (const first of [1, 2] as const) {
        const expected = low < high ? 'low' : 'high';
        t.equal(play(low, high, first), expected, `low ${low}, high ${high}, first ${first}`);
      }
    }
  }
});

t.test('standing is what a node knows and for how long', async (t) => {
  t.equal(standingOf(0, 10 * SETTLED_MS), Standing.Alone);
  t.equal(standingOf(1, SETTLED_MS - 1), Standing.Young);
  t.equal(standingOf(1, SETTLED_MS), Standing.Settled);
});

t.test('a block of our own, and one without a record, is no rival', async (t) => {
  const rivals = new Rivals(new Uint8Array(8).fill(1), () => Standing.Alone);
  for (const epoch of [1, 2, 3, 4]) {
    t.same(rivals.meet(block(1, epoch)), { isRival: false, givesWay: false });
    t.same(rivals.meet({ ...block(2, epoch), items: [] }), { isRival: false, givesWay: false });
  }
  t.equal(rivals.meetings, 0);
});
