/**
 * What the hosts of a scenario were told to announce and to withdraw: the truth that their tables
 * are held against.
 * @module
 */
import { compareVersions, type Version } from '../../src/wire/gossip/types.ts';
import type { Host } from './host.ts';
import { itemOf, keyOf } from './items.ts';

export type Withdrawal = {
  owner: Host;
  key: string;
  /** Nothing in blocks up to this one holds for the key any more. */
  upTo: Version;
  /** Every running node has known of it at one time. */
  isKnown: boolean;
};

/** By all of an epoch: no block of it has a later number. */
const WHOLE_EPOCH = Number.MAX_SAFE_INTEGER;

export class Ledger {
  /** By host: numbers by key, as they should stand. */
  readonly #announced = new Map<Host, Map<string, number>>();
  /** Everybody that ever announced a key. */
  readonly #claimants = new Map<string, Set<Host>>();
  /** What was withdrawn and not announced again, by owner and key. */
  readonly #withdrawals = new Map<string, Withdrawal>();
  /** Withdrawals that somebody may not know of. */
  readonly #pending = new Set<Withdrawal>();

  announced(host: Host): ReadonlyMap<string, number> {
    return this.#announced.get(host) ?? new Map();
  }

  /** Every key that was ever announced, with all who did. */
  get claimants(): ReadonlyMap<string, ReadonlySet<Host>> {
    return this.#claimants;
  }

  get pending(): Iterable<Withdrawal> {
    return this.#pending;
  }

  announce(host: Host, number: number): void {
    const key = keyOf(itemOf(number));
    const own = this.#announced.get(host) ?? new Map<string, number>();
    this.#announced.set(host, own.set(key, number));
    this.#claimants.set(key, (this.#claimants.get(key) ?? new Set()).add(host));
    const withdrawal = this.withdrawal(host, key);
    if (withdrawal === undefined) return;
    this.#pending.delete(withdrawal);
    this.#withdrawals.delete(`${host.index} ${key}`);
  }

  /** @param head the host's newest block at this moment: the withdrawal is in a later one. */
  withdraw(host: Host, key: string, head: Version): void {
    this.#announced.get(host)?.delete(key);
    this.#record({ owner: host, key, upTo: head, isKnown: false });
  }

  /** The process is gone, and with it what it was told. */
  stopped(host: Host): void {
    for (const key of this.#announced.get(host)?.keys() ?? []) {
      const upTo = { epoch: host.epoch, sequence: WHOLE_EPOCH };
      this.#record({ owner: host, key, upTo, isKnown: false });
    }
    this.#announced.delete(host);
  }

  /** The withdrawal of a key by its owner, if that is how it stands. */
  withdrawal(owner: Host, key: string): Withdrawal | undefined {
    return this.#withdrawals.get(`${owner.index} ${key}`);
  }

  /** Everybody knows of it now. */
  settle(withdrawal: Withdrawal): void {
    withdrawal.isKnown = true;
    this.#pending.delete(withdrawal);
  }

  #record(withdrawal: Withdrawal): void {
    this.#withdrawals.set(`${withdrawal.owner.index} ${withdrawal.key}`, withdrawal);
    this.#pending.add(withdrawal);
  }
}

/** Whether a node that has `head` of an owner knows that what `withdrawal` names is over. */
export function knows(head: Version, withdrawal: Withdrawal): boolean {
  return compareVersions(head, withdrawal.upTo) > 0;
}
