/**
 * What has come here of the train tests of others, by the token that each of them chose: so much a member
 * that tests its way to us is told over the gossip channel.
 * @module
 */
import { list, number, record } from '../../../api/reader.ts';
import { EventKind, type NetEvent } from '../../../table/events.ts';

/** Tests that are remembered, the oldest goes first. */
const TESTS_MAX = 128;
const SHAPES = 3;

/** Datagrams of each shape that came whole (wire/lan/train-test.ts), by token as 12 hexadecimal digits. */
export type TrainCounts = Record<string, number[]>;
export const readTrainCounts = record(list(number));

export function tokenText(mac: number): string {
  return mac.toString(16).padStart(12, '0');
}

export class TrainLedger {
  /** By token: which datagrams of each shape, so that one that comes twice counts once. */
  readonly #tests = new Map<string, Set<number>[]>();

  note(events: readonly NetEvent[]): void {
    for (const { kind, mac, peer: what } of events) {
      if (kind !== EventKind.TrainTest) continue;
      const token = tokenText(mac);
      let shapes = this.#tests.get(token);
      if (shapes === undefined) {
        shapes = Array.from({ length: SHAPES }, () => new Set());
        this.#tests.set(token, shapes);
        const [oldest] = this.#tests.keys();
        if (this.#tests.size > TESTS_MAX && oldest !== undefined) this.#tests.delete(oldest);
      }
      shapes[what >> 8]?.add(what & 0xff);
    }
  }

  counts(): TrainCounts {
    return Object.fromEntries(
      [...this.#tests].map(([token, shapes]) => [token, shapes.map(({ size }) => size)]),
    );
  }
}
