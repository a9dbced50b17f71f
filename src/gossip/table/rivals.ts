/**
 * Other processes that run with this node's key, as after a machine was cloned. Each answers a
 * block that it did not write by a block of a later epoch; whoever appears above our answer has
 * reacted to us, so it runs now. One of the two gives way, and both can tell who:
 *
 * the one that stands worse (alone, lately come, settled) has less patience, and among equals the
 * higher instance has less. So a clone that knows nobody but its model leaves the name to it, and
 * never takes it along into silence.
 * @module
 */
import { type Block, ItemKind, type PeerItem } from '../../wire/gossip/types.ts';

/** Rivals that are remembered. */
const RIVALS_MAX = 8;
/** A node that is a member for so long is settled. */
export const SETTLED_MS = 30_000;

/** How a node stands: knows no member; knows some, lately; for long. */
export const Standing = { Alone: 0, Young: 1, Settled: 2 } as const;
export type Standing = (typeof Standing)[keyof typeof Standing];

/** The standing of a node that knows so many other members and has run for so long. */
export function standingOf(others: number, ageMs: number): Standing {
  if (others === 0) return Standing.Alone;
  return ageMs < SETTLED_MS ? Standing.Young : Standing.Settled;
}

/**
 * After so many returns of a rival a node gives way: by standing, then for the higher and for the
 * lower instance. One return is not enough for anybody: with its answer the rival can tell, too.
 */
const PATIENCE: Readonly<Record<Standing, readonly [higher: number, lower: number]>> = {
  [Standing.Alone]: [2, 3],
  [Standing.Young]: [4, 5],
  [Standing.Settled]: [6, Number.POSITIVE_INFINITY],
};

export class Rivals {
  readonly #instance: Uint8Array;
  readonly #standing: () => Standing;
  /** By instance: our epoch after we first answered it, and how often it came back above that. */
  readonly #rivals = new Map<string, { answered: number; returns: number }>();
  /** What the one that was met last says of itself. */
  last: PeerItem | undefined;
  /** How often one was met. */
  meetings = 0;

  constructor(instance: Uint8Array, standing: () => Standing) {
    this.#instance = instance;
    this.#standing = standing;
  }

  /** A block with our signature that we did not write. */
  meet(block: Block): { isRival: boolean; givesWay: boolean } {
    const verdict = { isRival: false, givesWay: false };
    for (const item of block.items) {
      if (item.kind !== ItemKind.Peer) continue;
      const order = Buffer.compare(item.instance, this.#instance);
      if (order === 0) continue;
      const name = Buffer.from(item.instance).toString('hex');
      const rival = this.#rivals.get(name);
      if (rival === undefined) {
        if (this.#rivals.size >= RIVALS_MAX) continue;
        this.#rivals.set(name, { answered: block.epoch + 1, returns: 0 });
      } else if (block.epoch > rival.answered) {
        verdict.isRival = true;
        this.last = item;
        this.meetings++;
        rival.returns++;
        const [higher, lower] = PATIENCE[this.#standing()];
        if (rival.returns >= (order < 0 ? higher : lower)) verdict.givesWay = true;
      }
    }
    return verdict;
  }
}
