/**
 * What the sockets of the gossip channel count, by name. The core and its keys have counters of their
 * own; in metrics all of them stand together.
 * @module
 */

export const SOCKET_COUNTERS = [
  'udp.send_errors',
  'udp.send_closed',
  'udp.broken',
  'udp.link_local',
  'udp.no_family',
  'node.failed',
  'overflow.udp_sends',
  'streams.accepted',
  'streams.opened',
  'streams.failed',
  'streams.refused_client',
  'streams.timeouts',
  'streams.questions',
  'overflow.streams_in',
  'overflow.streams_out',
  'seeds.looked_up',
  'seeds.failed',
  'overflow.seed_addresses',
] as const;

export type SocketCounter = (typeof SOCKET_COUNTERS)[number];

/** A count for each name. */
export class SocketCounters {
  readonly #values = new Map<SocketCounter, number>(SOCKET_COUNTERS.map((name) => [name, 0]));

  count(name: SocketCounter, by = 1): void {
    this.#values.set(name, (this.#values.get(name) ?? 0) + by);
  }

  all(): Record<string, number> {
    return Object.fromEntries(this.#values);
  }
}
