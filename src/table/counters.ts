/**
 * Every end that a packet can meet, by direction, each with its counter. The data process adds,
 * the control process reads; `received = delivered + sum of drops` holds for each direction.
 *
 * The unit is the packet as it is on the wire: a super-packet counts as the segments it stands for.
 * @module
 */

/** Drops and totals on the way overlay → underlay, in counter order. Append only. */
export const EGRESS_COUNTERS = [
  'received',
  'delivered',
  'receivedBytes',
  'deliveredBytes',
  'drop.runt',
  'drop.malformed',
  'drop.unknown_ethertype',
  'drop.ipv6',
  'drop.multicast',
  'drop.broadcast',
  'drop.foreign_source',
  'drop.outside_overlay',
  'drop.local_destination',
  'drop.nested',
  'drop.too_big',
  'drop.send_full',
  'drop.send_denied',
  'drop.send_unreachable',
  'drop.send_too_big',
  'drop.send_error',
  'drop.unsupported_offload',
  'drop.send_paused',
  'drop.stale',
  'drop.bad_mac',
  'drop.control_protocol',
  'drop.unknown_unicast',
  'drop.flood_limited',
  'drop.answered',
  'drop.suppressed',
  'drop.unknown_neighbour',
  'drop.rogue_router',
  'drop.rogue_dhcp',
  'drop.policy',
  'drop.queue_full',
  'drop.queue_delay',
  'drop.overload',
] as const;

/** Drops and totals on the way underlay → overlay, in counter order. Append only. */
export const INGRESS_COUNTERS = [
  'received',
  'delivered',
  'receivedBytes',
  'deliveredBytes',
  'drop.truncated',
  'drop.stranger',
  'drop.own_source',
  'drop.bad_header',
  'drop.wrong_vni',
  'drop.mode_mismatch',
  'drop.runt',
  'drop.malformed',
  'drop.unknown_ethertype',
  'drop.ipv6',
  'drop.multicast',
  'drop.broadcast',
  'drop.bad_mac',
  'drop.foreign_source',
  'drop.foreign_destination',
  'drop.nested',
  'drop.ecn_not_capable',
  'drop.bad_checksum',
  'drop.too_big',
  'drop.device_full',
  'drop.device_down',
  'drop.device_error',
  'drop.stale',
  'drop.foreign_mac',
  'drop.control_protocol',
  'drop.unknown_unicast',
  'drop.flood_limited',
  'drop.rogue_router',
  'drop.rogue_dhcp',
  'drop.policy',
  'drop.wrong_underlay',
  'drop.path_probe',
  'drop.overload',
] as const;

/** Events beside the packet balance. Append only. */
export const EVENT_COUNTERS = [
  'packet_too_big_sent',
  'packet_too_big_limited',
  'pmtu_lowered',
  'icmp_ignored',
  'device_read_errors',
  'receive_errors',
  'send_errors',
  'segment_fallbacks',
  'super_packets_in',
  'super_packets_out',
  'trains_sent',
  'trains_received',
  'rounds',
  'tables_unreadable',
  'neighbour_asked',
  'neighbour_told',
  'neighbour_limited',
  'local_macs_forgotten',
  'port_unreachable',
  'send_pauses',
  'events_lost',
  'events_limited',
  'arp_answered',
  'nd_answered',
  'service_carried',
  'flooded_unknown',
  'flooded_broadcast',
  'flooded_multicast',
  'replicated',
  'sent_underlay_1',
  'sent_underlay_2',
  'sent_underlay_3',
  'sent_underlay_4',
  'path_probes_answered',
  'path_probes_limited',
  'train_tests',
  'keep_alives',
  'tcp_data_sent',
  'tcp_data_again',
  'socket_drops',
  'device_drops',
] as const;

/**
 * What waited for a link's rate: those in the queue now are `entered` less `left`, flows that have some there
 * `flows_began` less `flows_ended`; `waited_us` is how long those took together that were sent. Append only.
 */
export const QUEUE_COUNTERS = [
  'entered',
  'left',
  'marked',
  'waited_us',
  'flows_began',
  'flows_ended',
] as const;

export type QueueCounter = (typeof QUEUE_COUNTERS)[number];
export type EgressCounter = (typeof EGRESS_COUNTERS)[number];
export type IngressCounter = (typeof INGRESS_COUNTERS)[number];
export type EventCounter = (typeof EVENT_COUNTERS)[number];

/** Where each group begins in a link's counter column (unit: counters). */
export const EGRESS_BASE = 0;
export const INGRESS_BASE = 48;
export const EVENT_BASE = 96;
/** 16 cells of the ECN decapsulation table: base + inner × 4 + outer (RFC 6040 figure 4). */
export const ECN_BASE = 160;
const ECN_CELLS = 16;
export const QUEUE_BASE = 176;
/** Counters in one link's column, spare ones included. */
export const COUNTERS_PER_LINK = 192;

/** Where each group begins, how many counters it has, and where the next one begins. */
const GROUPS = [
  ['egress', EGRESS_BASE, EGRESS_COUNTERS.length],
  ['ingress', INGRESS_BASE, INGRESS_COUNTERS.length],
  ['event', EVENT_BASE, EVENT_COUNTERS.length],
  ['ecn', ECN_BASE, ECN_CELLS],
  ['queue', QUEUE_BASE, QUEUE_COUNTERS.length],
] as const;

for (const [i, [name, base, count]] of GROUPS.entries()) {
  const end = GROUPS[i + 1]?.[1] ?? COUNTERS_PER_LINK;
  if (base + count > end) throw new RangeError(`counter group ${name} runs into the next one`);
}

/** Index of an egress counter in the column. */
export function egressIndex(name: EgressCounter): number {
  return EGRESS_BASE + EGRESS_COUNTERS.indexOf(name);
}

/** Index of an ingress counter in the column. */
export function ingressIndex(name: IngressCounter): number {
  return INGRESS_BASE + INGRESS_COUNTERS.indexOf(name);
}

/** Index of an event counter in the column. */
export function eventIndex(name: EventCounter): number {
  return EVENT_BASE + EVENT_COUNTERS.indexOf(name);
}

/** Index of a queue counter in the column. */
export function queueIndex(name: QueueCounter): number {
  return QUEUE_BASE + QUEUE_COUNTERS.indexOf(name);
}

const ECN_NAMES = ['not_ect', 'ect1', 'ect0', 'ce'] as const;

const grouped = (group: string, base: number, names: readonly string[]): [string, number][] =>
  names.map((name, i) => [`${group}.${name}`, base + i]);

/** Where each counter is in a column, by its public name (`egress.drop.ipv6`, `ecn.ect0_ce`, …). */
const PLACES: ReadonlyMap<string, number> = new Map([
  ...grouped('egress', EGRESS_BASE, EGRESS_COUNTERS),
  ...grouped('ingress', INGRESS_BASE, INGRESS_COUNTERS),
  ...grouped('event', EVENT_BASE, EVENT_COUNTERS),
  ...grouped('queue', QUEUE_BASE, QUEUE_COUNTERS),
  ...grouped(
    'ecn',
    ECN_BASE,
    ECN_NAMES.flatMap((inner) => ECN_NAMES.map((outer) => `${inner}_${outer}`)),
  ),
]);

/** Where a counter is in a column, by its public name. @throws RangeError for one that is none */
export function counterPlace(name: string): number {
  const place = PLACES.get(name);
  if (place === undefined) throw new RangeError(`there is no counter ${name}`);
  return place;
}

const NAMES: ReadonlyMap<number, string> = new Map([...PLACES].map(([name, at]) => [at, name]));

/** Public name of the counter at a place; undefined where there is none. */
export function counterAt(place: number): string | undefined {
  return NAMES.get(place);
}

/** Every place of a column. */
export const EVERY_PLACE: readonly number[] = Array.from(
  { length: COUNTERS_PER_LINK },
  (_, i) => i,
);

/** The counters at these places, summed over columns. */
export function sumOf(columns: readonly Float64Array[], places: readonly number[]): Float64Array {
  const sum = new Float64Array(places.length);
  // Asked for each link and second: counted by hand, pairs of number and place would be most of what is made.
  for (const column of columns) {
    for (let i = 0; i < places.length; i++) {
      sum[i] = (sum[i] ?? 0) + (column[places[i] ?? 0] ?? 0);
    }
  }
  return sum;
}

/** All counters of a column by their public names. */
export function namedCounters(column: Float64Array): Record<string, number> {
  const result: Record<string, number> = {};
  for (const [name, place] of PLACES) result[name] = column[place] ?? 0;
  return result;
}

/**
 * The conservation law: packets received less delivered less all named drops, for one direction, and
 * less those that wait on their way out. Zero whenever the data process is between two batches.
 */
export function unaccounted(
  counters: Readonly<Record<string, number>>,
  direction: 'egress' | 'ingress',
): number {
  let rest = (counters[`${direction}.received`] ?? 0) - (counters[`${direction}.delivered`] ?? 0);
  for (const [name, value] of Object.entries(counters)) {
    if (name.startsWith(`${direction}.drop.`)) rest -= value;
  }
  if (direction === 'egress')
    rest -= (counters['queue.entered'] ?? 0) - (counters['queue.left'] ?? 0);
  return rest;
}
