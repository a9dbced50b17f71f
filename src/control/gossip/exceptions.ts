/**
 * What of the gossip table concerns the data path: the prefixes that live on another host than
 * the arithmetic has them, with the fans of the host that won each.
 * @module
 */
import { messageOf } from '../../errors.ts';
import type { GossipNode } from '../../gossip/node.ts';
import type { Log } from '../../log.ts';
import { ItemKind, type NodeId } from '../../wire/gossip/types.ts';
import type { MovedPrefix } from '../moved.ts';

/** A moved prefix and who announces it. */
export type OwnedPrefix = MovedPrefix & { owner: NodeId; ownerName: string };

/** Takes the whole set whenever it is another one. */
export type ExceptionListener = (moved: readonly OwnedPrefix[]) => void;

/** Changes come in bursts: the set is made once they have settled. */
const SETTLE_MS = 20;
/** Things that no event tells of (a member's record in the table) are looked at this often. */
const LOOK_MS = 1000;
/** Making the set may take a tenth of the time, so a large one is made less often. */
const SHARE = 10;

/** The moved prefixes as the table has them now. */
export function movedPrefixes(node: GossipNode): OwnedPrefix[] {
  const entries = [...node.entries({ kind: ItemKind.Prefix })];
  if (entries.length === 0) return [];
  const fans = new Map(node.members().map((member) => [member.id, member.fans]));
  return entries.flatMap(({ item, owner, ownerName }) =>
    item.kind === ItemKind.Prefix
      ? [
          {
            prefix: { address: item.address, length: item.length },
            vni: item.vni,
            fans: fans.get(owner) ?? [],
            ...{ owner, ownerName },
          },
        ]
      : [],
  );
}

/** Tells its listeners of changes, neither too often nor twice the same. */
export class Exceptions {
  readonly #listeners = new Set<ExceptionListener>();
  readonly #log: Log;
  #node: GossipNode | undefined;
  #moved: readonly OwnedPrefix[] = [];
  #text = '[]';
  #hash = '';
  #timer: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;
  #tookMs = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** As the listeners were told last. */
  get moved(): readonly OwnedPrefix[] {
    return this.#moved;
  }

  /** Calls `listener` now and at each change; returns how to end it. */
  listen(listener: ExceptionListener): () => void {
    this.#listeners.add(listener);
    listener(this.#moved);
    return () => this.#listeners.delete(listener);
  }

  /** The node whose table counts from now on; undefined = nothing has moved. */
  follow(node: GossipNode | undefined): void {
    this.#node = node;
    clearInterval(this.#looking);
    if (node !== undefined) this.#looking = setInterval(() => this.#check(), LOOK_MS).unref();
    this.changed();
  }

  /** Something of the table, or of a member, is another. */
  changed(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#tell();
      },
      Math.max(SETTLE_MS, this.#tookMs * SHARE),
    );
  }

  /** As {@link changed}, but only when the table has another hash than when this was last asked. */
  #check(): void {
    const hash = this.#node?.summaryHash() ?? '';
    if (hash === this.#hash) return;
    this.#hash = hash;
    this.changed();
  }

  #tell(): void {
    const startMs = performance.now();
    const moved = this.#node === undefined ? [] : movedPrefixes(this.#node);
    const text = JSON.stringify(moved);
    this.#tookMs = performance.now() - startMs;
    if (text === this.#text) return;
    this.#text = text;
    this.#moved = moved;
    for (const listener of this.#listeners) {
      try {
        listener(moved);
      } catch (error) {
        this.#log.error('gossip', `exceptions: ${messageOf(error)}`);
      }
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    this.#listeners.clear();
  }
}
