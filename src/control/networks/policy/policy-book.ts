/**
 * The rules and labels of one network: those of this host's file, those that somebody gave by hand here,
 * those that came with a workload, and those that other hosts tell. A rule holds while anybody tells it.
 *
 * A rule about a workload follows it: the host that has the workload now tells the rule too, so that it
 * outlives the host that it came from. What the author of a rule takes back, while it is there, goes
 * everywhere. What a host told that has vanished stays: nobody's fall opens a door.
 * @module
 */
import type { PolicyRule } from '../../../net/policy/rule.ts';
import { parseRule } from '../../../net/policy/rule.ts';
import { bytesOfIpv6 } from '../../../net/prefix6.ts';
import { hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';

/** Why this host tells a rule. */
export type OwnReason = 'file' | 'given' | 'carried';

/** Rules of others that one network keeps in mind; more are not heard. */
export const TOLD_RULES_MAX = 4096;

/** The single addresses that a rule names: the workloads that it is about. */
export function subjectsOf({ from, to }: PolicyRule): UnderlayAddress[] {
  return [from, to].flatMap((who) => {
    if (who.kind === 'ipv4' && who.length === 32) return [who.address];
    if (who.kind === 'ipv6' && who.length === 128) return [hostOfBytes(bytesOfIpv6(who.address))];
    return [];
  });
}

export class PolicyBook {
  /** Rules of this host, by text. */
  readonly own = new Map<string, OwnReason>();
  /** Rules of others: who tells each, and who of them has vanished since. */
  readonly told = new Map<string, Map<string, { vanished: boolean }>>();
  /** Labels by MAC. */
  readonly ownLabels = new Map<number, { labels: string[]; reason: OwnReason }>();
  readonly toldLabels = new Map<number, string[]>();
  /** Rules that were not heard for want of room. */
  refused = 0;

  /** Every rule that holds, each once. */
  *texts(): Generator<string> {
    yield* this.own.keys();
    for (const text of this.told.keys()) if (!this.own.has(text)) yield text;
  }

  /** The labels of every MAC that has some. */
  *labels(): Generator<readonly [number, readonly string[]]> {
    for (const [mac, { labels }] of this.ownLabels) yield [mac, labels];
    for (const [mac, labels] of this.toldLabels) {
      if (!this.ownLabels.has(mac)) yield [mac, labels];
    }
  }

  /** Another host tells a rule; true when that is new. */
  hear(text: string, owner: string): boolean {
    let owners = this.told.get(text);
    if (owners === undefined) {
      if (this.told.size >= TOLD_RULES_MAX) {
        this.refused++;
        return false;
      }
      owners = new Map();
      this.told.set(text, owners);
    }
    const isNew = owners.get(owner)?.vanished !== false;
    owners.set(owner, { vanished: false });
    return isNew;
  }

  /** It tells it no more; `vanished`: because it is not there. True when the rule may have gone with it. */
  unhear(text: string, owner: string, vanished: boolean): boolean {
    const owners = this.told.get(text);
    if (owners?.has(owner) !== true) return false;
    if (vanished) {
      owners.set(owner, { vanished: true });
      return false;
    }
    owners.delete(owner);
    if (owners.size > 0) return false;
    this.told.delete(text);
    return true;
  }

  /** Rules of others about a workload's address. */
  about(address: UnderlayAddress): string[] {
    return [...this.told.keys()].filter((text) => {
      try {
        return subjectsOf(parseRule(text)).includes(address);
      } catch {
        return false;
      }
    });
  }
}
