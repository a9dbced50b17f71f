import t from 'tap';
import {
  OwnEntries,
  type OwnEntry,
  QUIET_MS,
} from '../../../src/control/networks/local/own-entries.ts';
import type { NetworkSpec } from '../../../src/control/store/link-spec.ts';
import { type EntryId, MOVES_COUNT_MAX } from '../../../src/rib/entry.ts';
import { Rib } from '../../../src/rib/rib.ts';

const SPEC: NetworkSpec = {
  ...{ name: 'br-blue', network: 'blue', encap: 'vxlan', device: 'fwn-100', vni: 100, port: 4789 },
  ...{ underlay: { address: 0xac1e0000, length: 16 }, local: 0xac1e001c, mac: 2 },
  ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
  ...{ bum: 'none', serviceNodes: [], guard: 'learn', replicator: false },
};
const ELSEWHERE = 0xac1e011b;
const MAC = 0x02_00_00_00_00_01;
const ID: EntryId = { link: SPEC.name, kind: 'mac', mac: MAC };
const STATION = { spec: SPEC, mac: MAC, address: undefined, isSticky: false };

/** Own entries over a real rib, and what a speaker was told. */
function make(least = 0) {
  const rib = new Rib({ max: 100, ownerMax: 100 });
  const clock = { nowMs: 0 };
  let told: string[] = [];
  const own = new OwnEntries({
    best: (id) => rib.get(id),
    isHeld: (id) => rib.isHeld(id),
    isContested: (id) => rib.isContested(id),
    nowMs: () => clock.nowMs,
    update: (updates) => rib.update('local', updates, clock.nowMs),
  });
  own.addSpeaker({
    announce(entry: OwnEntry) {
      const sequence = Math.max(entry.sequence, least);
      told.push(`announce ${sequence}`);
      return sequence;
    },
    renew({ sequence }) {
      told.push(`renew ${sequence}`);
      return sequence;
    },
    withdraw: () => void told.push('withdraw'),
  });
  const elsewhere = (sequence: number | undefined): void => {
    const claim =
      sequence === undefined ? undefined : { peer: ELSEWHERE, owner: 'b', sequence, mac: 0 };
    rib.update('gossip', [{ id: ID, claim }], clock.nowMs);
  };
  const take = (): string[] => {
    const was = told;
    told = [];
    return was;
  };
  return { rib, own, elsewhere, take, clock };
}

t.test('whoever moves here is announced with one more than where it was', async (t) => {
  const { rib, own, elsewhere, take } = make();
  own.add(STATION);
  t.strictSame(take(), ['announce 0']);
  own.add(STATION);
  t.strictSame(take(), ['announce 0'], 'the same again is no move');
  elsewhere(4);
  t.equal(rib.get(ID)?.peer, ELSEWHERE);
  own.add(STATION);
  t.strictSame(take(), ['announce 5']);
  t.equal(rib.get(ID)?.source, 'local');
  own.remove(ID);
  t.strictSame(take(), ['withdraw']);
  t.equal(rib.get(ID)?.peer, ELSEWHERE);
});

t.test('there is no number above the highest', async (t) => {
  const { rib, own, elsewhere, take } = make();
  elsewhere(MOVES_COUNT_MAX);
  own.add(STATION);
  t.strictSame(take(), [`announce ${MOVES_COUNT_MAX}`], 'it would be 0 on the wire');
  t.equal(rib.get(ID)?.source, 'local', 'ours is the lower tunnel endpoint');
  elsewhere(undefined);
  t.equal(rib.get(ID)?.sequence, MOVES_COUNT_MAX);
});

t.test('a speaker may need a higher number to be believed', async (t) => {
  const { rib, own, take } = make(9);
  own.add(STATION);
  t.strictSame(take(), ['announce 9']);
  t.equal(rib.get(ID)?.sequence, 9, 'which becomes that of the entry');
});

t.test('what moves too often is frozen, and announced again afterwards', async (t) => {
  const { rib, own, elsewhere, take, clock } = make();
  own.add(STATION);
  for (let sequence = 1; sequence < 20 && !rib.isHeld(ID); sequence += 2) {
    clock.nowMs += 1000;
    elsewhere(sequence);
    own.add(STATION);
  }
  t.ok(rib.isHeld(ID), 'frozen');
  take();
  own.add(STATION);
  own.review();
  t.strictSame(take(), [], 'nothing is said of it meanwhile');
  clock.nowMs += 400_000;
  rib.release(clock.nowMs);
  own.review();
  t.match(take(), [/^announce \d+$/]);
});

t.test('a number ends after long without a move', async (t) => {
  const { rib, own, elsewhere, take, clock } = make();
  elsewhere(MOVES_COUNT_MAX - 1);
  own.add(STATION);
  t.strictSame(take(), [`announce ${MOVES_COUNT_MAX}`]);
  clock.nowMs += QUIET_MS;
  own.review();
  t.strictSame(take(), [], 'while another one claims it too it stays');
  elsewhere(undefined);
  clock.nowMs += QUIET_MS - 1;
  own.add(STATION);
  own.review();
  t.strictSame(take(), [`announce ${MOVES_COUNT_MAX}`], 'what is only seen again has not moved');
  clock.nowMs += 1;
  own.review();
  t.strictSame(take(), ['renew 0']);
  t.match(rib.get(ID), { source: 'local', sequence: 0 });
  own.review();
  t.strictSame(take(), [], 'told once');
  elsewhere(1);
  t.equal(rib.get(ID)?.peer, ELSEWHERE, 'and the next move is believed');
});

t.test('a link that goes takes its own entries only', async (t) => {
  const { own, take } = make();
  own.add(STATION);
  own.add({ ...STATION, address: 0x0a010001 });
  own.add({ ...STATION, spec: { ...SPEC, name: 'br-red' } });
  take();
  own.removeLink(SPEC.name);
  t.strictSame(take(), ['withdraw', 'withdraw']);
  t.equal(own.size, 1);
});
