/**
 * Watches a run for what must never happen, at the moment it does: a death that was none, and
 * something withdrawn that comes back.
 * @module
 */
import type { ConflictEvent, EntryEvent, MemberChange } from '../../src/gossip/base/api.ts';
import type { NodeId, Version } from '../../src/wire/gossip/types.ts';
import type { Fabric } from './fabric.ts';
import type { Host, Watcher } from './host.ts';
import { keyOf } from './items.ts';
import { knows, type Ledger } from './ledger.ts';
import { LOSS_SURE_MOST } from './scenario.ts';

/**
 * A death is false when the dead was well connected (see Connectivity) for so long before, and so
 * was, whatever its processor did, the node that believed it.
 */
const WELL_MS = 15_000;
/** How often it is looked whether a withdrawal is known everywhere. */
const LOOK_MS = 2_000;

export type Failure = { atMs: number; what: string };

export class Watch implements Watcher {
  readonly failures: Failure[] = [];
  /** Deaths of healthy nodes while more was lost than the protocol is made for. */
  deathsInStorm = 0;
  suspicions = 0;
  deaths = 0;
  conflicts = 0;
  /** Is given everything that happens, for a person to read. */
  say: ((line: string) => void) | undefined;
  readonly #fabric: Fabric;
  readonly #ledger: Ledger;
  readonly #byId: ReadonlyMap<NodeId, Host>;
  #stormMs = Number.NEGATIVE_INFINITY;

  constructor(fabric: Fabric, ledger: Ledger) {
    this.#fabric = fabric;
    this.#ledger = ledger;
    this.#byId = new Map(fabric.hosts.map((host) => [host.identity.id, host]));
    this.#look();
  }

  fail(what: string): void {
    this.failures.push({ atMs: this.#fabric.nowMs, what });
    this.say?.(`FAILED: ${what}`);
  }

  member(host: Host, { node, from, to, why }: MemberChange): void {
    const subject = this.#byId.get(node);
    this.say?.(`${host.name}: ${subject?.name ?? node} ${from} -> ${to}: ${why}`);
    if (subject === undefined) return this.fail(`${host.name} believes in ${node}: nobody is that`);
    if (to === 'suspect') this.suspicions += 1;
    if (to !== 'dead' && to !== 'left') return;
    this.deaths += 1;
    const { connectivity, nowMs } = this.#fabric;
    const wellMs = connectivity.wellForMs(subject, nowMs);
    const reachedMs = connectivity.reachedForMs(host, nowMs);
    if (subject === host || Math.min(wellMs, reachedMs) < WELL_MS) return;
    if (nowMs - this.#stormMs < WELL_MS) this.deathsInStorm += 1;
    else this.fail(`${host.name} holds ${subject.name} for ${to}, which is well: ${why}`);
  }

  entry(host: Host, change: EntryEvent): void {
    const key = keyOf(change.item);
    const owner = this.#byId.get(change.owner);
    this.say?.(`${host.name}: ${key} of ${owner?.name ?? change.owner} ${change.type}`);
    if (owner === undefined) return this.fail(`${host.name} has ${key} of ${change.owner}: nobody`);
    if (change.type !== 'set') return;
    const withdrawal = this.#ledger.withdrawal(owner, key);
    if (withdrawal === undefined) return;
    const head = headOf(host, owner.identity.id);
    if (withdrawal.isKnown) {
      this.fail(`${key} of ${owner.name} is back on ${host.name} after all knew it withdrawn`);
    } else if (head !== undefined && knows(head, withdrawal)) {
      this.fail(`${host.name} knew ${key} of ${owner.name} withdrawn, and believes it again`);
    }
  }

  conflict(host: Host, { what, subject, winnerName, loserName, over }: ConflictEvent): void {
    this.conflicts += 1;
    const state = over ? 'over' : 'seen';
    this.say?.(
      `${host.name}: conflict of ${what} ${subject} ${state}: ${winnerName}, ${loserName}`,
    );
  }

  log(host: Host, line: string): void {
    this.say?.(`${host.name}: ${line}`);
  }

  #look(): void {
    const { scheduler, wire, running } = this.#fabric;
    if (wire.conditions.lossShare > LOSS_SURE_MOST) this.#stormMs = scheduler.nowMs;
    for (const withdrawal of this.#ledger.pending) {
      const { id } = withdrawal.owner.identity;
      const isKnown = running.every((host) => {
        const head = headOf(host, id);
        return head !== undefined && knows(head, withdrawal);
      });
      if (isKnown) this.#ledger.settle(withdrawal);
    }
    scheduler.after(LOOK_MS, () => this.#look());
  }
}

/** The newest block of `owner` that the host's node has. */
export function headOf(host: Host, owner: NodeId): Version | undefined {
  return host.node?.member(owner);
}
