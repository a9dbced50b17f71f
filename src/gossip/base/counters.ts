/**
 * What the gossip channel counts. Every refusal has a name of its own, and no bound is reached
 * without one of these going up. The same names appear in the metrics.
 * @module
 */

export const GOSSIP_COUNTERS = [
  // Traffic, as the core sees it: opened payloads, without headers.
  'datagrams.received',
  'datagrams.sent',
  'bytes.received',
  'bytes.sent',
  'messages.received',
  'messages.unknown',
  'refused.payload',
  // Blocks.
  'blocks.new',
  'blocks.known',
  'blocks.stale',
  'blocks.refused.format',
  'blocks.refused.signature',
  'blocks.refused.owner_limit',
  'blocks.refused.member_limit',
  'blocks.refused.item_limit',
  'blocks.refused.size',
  'blocks.refused.differs',
  'blocks.issued',
  // Membership.
  'probes.sent',
  'probes.acked',
  'probes.indirect',
  'probes.failed',
  'probes.void',
  'probes.other_target',
  'nacks.sent',
  'nacks.missing',
  'accusations.sent',
  'accusations.received',
  'accusations.stale',
  'accusations.ahead',
  'accusations.told',
  'refutations.sent',
  'members.joined',
  'members.suspected',
  'members.refuted',
  'members.died',
  'members.left',
  'members.returned',
  'members.forgotten',
  'ticks.late',
  'reconnects.sent',
  // Queues.
  'broadcasts.queued',
  'broadcasts.replaced',
  'broadcasts.finished',
  'overflow.broadcasts',
  'overflow.relays',
  'overflow.members',
  'overflow.conflicts',
  // Comparing tables.
  'sync.digests_sent',
  'sync.digests_differ',
  'sync.wants_sent',
  'sync.wants_served',
  'sync.pulls_started',
  'sync.pulls_failed',
  'sync.limited',
  // Workloads that are looked for.
  'seeks.sent',
  'seeks.received',
  // What members ask of us.
  'questions.limited',
  // MACs that two members have.
  'witness.asked',
  'witness.received',
  // Conflicts.
  'conflicts.seen',
  'conflicts.lost',
  // Sealed datagrams: what the keys let in, and why not.
  'sealed.opened',
  'sealed.refused.size',
  'sealed.refused.version',
  'sealed.refused.kind',
  'sealed.refused.counter',
  'sealed.refused.plaintext',
  'sealed.refused.sealed',
  'sealed.refused.label',
  'sealed.refused.key',
  'sealed.refused.tag',
  'sealed.refused.content',
  'sealed.refused.reflected',
  'sealed.refused.misdirected',
  'sealed.refused.session',
  'sealed.refused.address',
  'sealed.refused.replayed',
  'sealed.refused.old',
  'sealed.refused.token',
  'sealed.refused.signature',
  'sealed.refused.challenge',
  'sealed.limited.strangers',
  'sealed.limited.challenges',
  'sealed.limited.sessions',
  'challenges.sent',
  'challenges.answered',
  'sessions.opened',
  'sessions.replaced',
  'sessions.evicted',
  'sessions.renewed',
  'overflow.sessions',
] as const;

export type GossipCounter = (typeof GOSSIP_COUNTERS)[number];

/** A count for each name. Numbers stay exact up to 2^53. */
export class Counters {
  readonly #values = new Map<GossipCounter, number>(GOSSIP_COUNTERS.map((name) => [name, 0]));

  count(name: GossipCounter, by = 1): void {
    this.#values.set(name, this.value(name) + by);
  }

  value(name: GossipCounter): number {
    return this.#values.get(name) ?? 0;
  }

  /** All of them by name, in the order of the list. */
  all(): Record<string, number> {
    return Object.fromEntries(this.#values);
  }
}
