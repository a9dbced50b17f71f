/**
 * The rules and labels of one network: those of this host, whoever gave them, and those that other hosts
 * tell. A rule holds while anybody tells it; what a host told that has vanished stays in force, so that
 * nobody's fall opens a door.
 * @module
 */
import { type PolicyRule, parseRule, RuleError } from '../../../net/policy/rule.ts';
import { bytesOfIpv6 } from '../../../net/prefix6.ts';
import { hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { type Announcement, ItemKind } from '../../../wire/gossip/types.ts';

/** Why this host tells a rule: its file, somebody's command, or because it came with a workload. */
export type OwnReason = 'file' | 'given' | 'carried';

/** Rules of others that one network keeps in mind, and MACs with labels; more are not heard. */
export const TOLD_MAX = 4096;

/** Who tells something: in which life, and since when no more. */
export type Teller = { epoch: number; goneMs: number | undefined };

function addressesIn({ from, to }: PolicyRule): UnderlayAddress[] {
  return [from, to].flatMap((who) => {
    if (who.kind === 'ipv4' && who.length === 32) return [who.address];
    if (who.kind === 'ipv6' && who.length === 128) return [hostOfBytes(bytesOfIpv6(who.address))];
    return [];
  });
}

/** The single addresses that a rule names: the workloads that it is about. */
export function subjectsOf(text: string): UnderlayAddress[] {
  try {
    return addressesIn(parseRule(text));
  } catch (error) {
    // One of a later version: whoever told it looks after it.
    if (error instanceof RuleError) return [];
    throw error;
  }
}

export class PolicyBook {
  /** Rules of this host, by text. */
  readonly own = new Map<string, OwnReason>();
  /** Rules of others, by text: who tells each. */
  readonly told = new Map<string, Map<string, Teller>>();
  /** Labels by MAC. */
  readonly ownLabels = new Map<number, { labels: readonly string[]; reason: OwnReason }>();
  readonly toldLabels = new Map<number, Teller & { owner: string; labels: readonly string[] }>();
  /** What was not heard for want of room. */
  refused = 0;

  /** Every rule that holds, each once. */
  *texts(): Generator<string> {
    yield* this.own.keys();
    for (const text of this.told.keys()) if (!this.own.has(text)) yield text;
  }

  /** The labels of every MAC that has some. */
  *labels(): Generator<readonly [number, readonly string[]]> {
    for (const [mac, { labels }] of this.ownLabels) yield [mac, labels];
    for (const [mac, { labels }] of this.toldLabels) {
      if (!this.ownLabels.has(mac)) yield [mac, labels];
    }
  }

  /** Another host tells a rule. */
  hear(text: string, owner: string, epoch: number): void {
    const tellers = this.told.get(text) ?? new Map<string, Teller>();
    if (tellers.size === 0 && this.told.size >= TOLD_MAX) {
      this.refused++;
      return;
    }
    this.told.set(text, tellers);
    tellers.set(owner, { epoch, goneMs: undefined });
  }

  /** It does so no more. */
  unhear(text: string, owner: string): void {
    const tellers = this.told.get(text);
    tellers?.delete(owner);
    if (tellers?.size === 0) this.told.delete(text);
  }

  /** Those that told a rule and have vanished tell it no more. */
  unhearVanished(text: string): void {
    for (const [owner, { goneMs }] of [...(this.told.get(text) ?? [])]) {
      if (goneMs !== undefined) this.unhear(text, owner);
    }
  }

  /** Another host tells the labels of a MAC. */
  hearLabels(mac: number, labels: readonly string[], owner: string, epoch: number): void {
    if (!this.toldLabels.has(mac) && this.toldLabels.size >= TOLD_MAX) {
      this.refused++;
      return;
    }
    this.toldLabels.set(mac, { owner, labels, epoch, goneMs: undefined });
  }

  /** Who tells the labels that an announcement is about. */
  labelTellers(item: Announcement): Map<string, Teller> | undefined {
    const told = item.kind === ItemKind.Labels ? this.toldLabels.get(item.mac) : undefined;
    return told && new Map([[told.owner, told]]);
  }

  /** Whether another host that is there tells a rule. */
  isTold(text: string): boolean {
    for (const { goneMs } of this.told.get(text)?.values() ?? []) {
      if (goneMs === undefined) return true;
    }
    return false;
  }

  /** Rules of others about a workload's address. */
  about(address: UnderlayAddress): string[] {
    return [...this.told.keys()].filter((text) => subjectsOf(text).includes(address));
  }
}
