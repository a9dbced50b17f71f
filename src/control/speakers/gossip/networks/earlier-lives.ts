/**
 * What an owner told in an earlier life. Its table is void as soon as it begins anew, and it takes some seconds until
 * all is told again; the data path of that host goes on meanwhile, whoever was killed there. So what is cleared
 * for that reason alone counts for a while longer (as RFC 4724 §4.2 has it of routes).
 * @module
 */
import type { EntryEvent } from '../../../../gossip/base/api.ts';
import { keyText } from '../../../../gossip/base/keys.ts';
import type { NodeId } from '../../../../wire/gossip/types.ts';

/** How long an owner that has begun anew has to tell again what it told before, ms. */
const AGAIN_MS = 10_000;
/** Entries that are held; more are cleared at once. */
const HELD_MAX = 65_536;

type Cleared = Extract<EntryEvent, { type: 'cleared' }>;

export type EarlierLivesOptions = {
  /** The life in which an owner's table was written; 0 = there is none. */
  lifeOf: (owner: NodeId) => number;
  /** The time is over: it is cleared, unless it was told again. */
  over: (change: Cleared) => void;
};

export class EarlierLives {
  readonly #options: EarlierLivesOptions;
  /** Of each owner the life that it was in when it told something last. */
  readonly #lives = new Map<NodeId, number>();
  /** Owners whose earlier life is being cleared just now: all of it in one turn. */
  readonly #ending = new Set<NodeId>();
  readonly #held = new Map<string, Cleared>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: EarlierLivesOptions) {
    this.#options = options;
  }

  /** An owner has told something before anybody listened. */
  note(owner: NodeId): void {
    if (!this.#lives.has(owner)) this.#lives.set(owner, this.#options.lifeOf(owner));
  }

  /** Whether a change is to have no effect for now; then it is told again by `over`. */
  holds(change: EntryEvent): boolean {
    const { owner, item } = change;
    const life = this.#options.lifeOf(owner);
    const before = this.#lives.get(owner) ?? 0;
    if (life > before) {
      this.#lives.set(owner, life);
      if (before > 0) this.#begins(owner);
    }
    if (change.type === 'set') {
      this.#held.delete(`${owner} ${keyText(item)}`);
      return false;
    }
    if (!this.#ending.has(owner) || this.#held.size >= HELD_MAX) return false;
    this.#held.set(`${owner} ${keyText(item)}`, change);
    return true;
  }

  #begins(owner: NodeId): void {
    this.#ending.add(owner);
    setImmediate(() => this.#ending.delete(owner));
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      for (const [key, change] of [...this.#held]) {
        if (change.owner !== owner) continue;
        this.#held.delete(key);
        this.#options.over(change);
      }
    }, AGAIN_MS);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Nothing of it counts any more. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#held.clear();
    this.#lives.clear();
  }
}
