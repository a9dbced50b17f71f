/**
 * A MAC that flaps: by how much, how fast and with which numbers. RFC 7432 §15.1 with its own figures.
 * @module
 */
import t, { type Test } from 'tap';
import type { UnderlayAddress } from '../../src/net/underlay-address.ts';
import { type EntryId, MOVES_COUNT_MAX, type RibChange } from '../../src/rib/entry.ts';
import { FREEZE_MS, MOVES_MAX, MOVES_WINDOW_MS, MOVING_MAX } from '../../src/rib/moves.ts';
import { Rib } from '../../src/rib/rib.ts';

const MANY = 10_000;
const MAC = 0x02_00_00_00_00_01;
const idOf = (mac: number): EntryId => ({ link: 'br-blue', kind: 'mac', mac });

/** A rib whose claims come from gossip, one a host. */
class Flapping {
  readonly rib = new Rib({ max: 4 * MANY, ownerMax: 4 * MANY });
  nowMs = 0;

  say(peer: number, sequence: number, more: { mac?: number; isSticky?: boolean } = {}) {
    const { mac = MAC, isSticky = false } = more;
    const claim = { ...{ peer, owner: `host${peer}`, sequence, mac: 0 }, isSticky };
    return this.rib.update('gossip', [{ id: idOf(mac), claim }], this.nowMs);
  }

  /** One source says it of two hosts by BGP too. */
  route(peer: number, sequence: number | undefined): RibChange[] {
    const claim =
      sequence === undefined ? undefined : { peer, owner: `host${peer}`, sequence, mac: 0 };
    return this.rib.update('bgp', [{ id: idOf(MAC), claim }], this.nowMs);
  }

  get place(): UnderlayAddress | undefined {
    return this.rib.get(idOf(MAC))?.peer;
  }

  get isFrozen(): boolean {
    return this.rib.isHeld(idOf(MAC));
  }

  /** Moves to and fro, each with the next number. */
  move(times: number, everyMs: number, from = 1): number {
    let told = 0;
    for (let move = 0; move < times; move++) {
      this.nowMs += everyMs;
      told += this.say(2 - (move % 2), from + move).length;
    }
    return told;
  }
}

/** A dozen cases, each with a rib where the MAC is at host 1 with the number 0. */
const CASES: [string, (t: Test, at: Flapping) => void][] = [
  [
    'four moves in three minutes are believed',
    (t, at) => {
      t.equal(at.move(MOVES_MAX - 1, 40_000), MOVES_MAX - 1);
      t.notOk(at.isFrozen);
    },
  ],
  [
    'the fifth freezes it where it was, with an alarm',
    (t, at) => {
      t.equal(at.move(MOVES_MAX, 30_000), MOVES_MAX - 1);
      t.ok(at.isFrozen);
      t.same(at.rib.takeHeld(), [idOf(MAC)], 'told once');
      t.same(at.rib.takeHeld(), []);
    },
  ],
  [
    'five in more than three minutes do not',
    (t, at) => {
      t.equal(at.move(2 * MOVES_MAX, MOVES_WINDOW_MS / (MOVES_MAX - 1)), 2 * MOVES_MAX);
      t.notOk(at.isFrozen);
    },
  ],
  [
    'it recovers by itself, to what is true by then',
    (t, at) => {
      at.move(MOVES_MAX, 1000);
      at.say(7, 99);
      t.not(at.place, 7, 'nothing is believed of it meanwhile');
      t.same(at.rib.release(at.nowMs + FREEZE_MS - 1), []);
      t.equal(at.rib.release(at.nowMs + FREEZE_MS).length, 1);
      t.equal(at.place, 7);
      t.notOk(at.isFrozen);
    },
  ],
  [
    `${MANY} moves of one in a second: few are told, and then nothing`,
    (t, at) => {
      t.equal(at.move(MANY, 1000 / MANY), MOVES_MAX - 1);
      t.same(at.rib.status().held, [idOf(MAC)]);
      t.equal(at.rib.status().holds, 1, 'one alarm');
    },
  ],
  [
    `${MANY} moves of as many in a second: all are told, none is frozen`,
    (t, at) => {
      t.ok(MANY <= MOVING_MAX);
      for (const [peer, sequence] of [
        [1, 0],
        [2, 1],
      ] as const) {
        let told = 0;
        for (let i = 0; i < MANY; i++) told += at.say(peer, sequence, { mac: 0x100 + i }).length;
        t.equal(told, MANY, `at host ${peer}`);
      }
      t.same(at.rib.status().held, []);
    },
  ],
  [
    'two that both say 0: the lower tunnel endpoint has it, whoever spoke last',
    (t, at) => {
      t.equal(at.route(2, 0).length, 0);
      t.equal(at.place, 1);
      at.say(3, 0);
      t.equal(at.place, 2);
    },
  ],
  [
    'the highest number there is outranks all others',
    (t, at) => {
      at.route(2, MOVES_COUNT_MAX);
      t.equal(at.place, 2);
      at.say(1, MOVES_COUNT_MAX - 1);
      t.equal(at.place, 2);
    },
  ],
  [
    'two that have reached it: the lower tunnel endpoint, and no number above',
    (t, at) => {
      at.route(2, MOVES_COUNT_MAX);
      at.say(1, MOVES_COUNT_MAX);
      t.equal(at.place, 1);
    },
  ],
  [
    'one with the highest number that lets go leaves it to the others',
    (t, at) => {
      at.route(2, MOVES_COUNT_MAX);
      at.route(2, undefined);
      t.equal(at.place, 1);
    },
  ],
  [
    'an owner that begins anew with a lower number is believed, and so is who takes it from there',
    (t, at) => {
      at.say(2, 9);
      at.say(2, 0);
      t.equal(at.place, 2);
      t.equal(at.rib.get(idOf(MAC))?.sequence, 0);
      at.route(3, 1);
      t.equal(at.place, 3);
    },
  ],
  [
    'one that is sticky never moves, whatever the number',
    (t, at) => {
      at.say(1, 0, { isSticky: true });
      at.route(2, MOVES_COUNT_MAX);
      t.equal(at.place, 1);
      t.notOk(at.isFrozen);
    },
  ],
];

for (const [what, check] of CASES) {
  t.test(what, async (t) => {
    const at = new Flapping();
    at.say(1, 0);
    check(t, at);
  });
}
