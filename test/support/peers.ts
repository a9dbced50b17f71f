/**
 * Peers and socket addresses of a test.
 * @module
 */
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { PeerTable } from '../../src/dataplane/ground/peers.ts';
import { emitSockaddr, SOCKADDR_BYTES } from '../../src/dataplane/ground/sockaddr.ts';
import type { PathRows } from '../../src/table/paths.ts';

/** The port on which a test's peers listen. */
export const PEER_PORT = 4789;
const CAPACITY = 4096;

/** A host that knows nothing of the ways to others. */
export const NO_ROUTES = {
  configured: () => 0,
  current: () => 0,
  addProbe: () => {},
  removeProbe: () => {},
};

/** A table of peers in an arena of its own. */
export function makePeers(rows?: PathRows, capacity = CAPACITY): PeerTable {
  return new PeerTable(new Arena(capacity * SOCKADDR_BYTES + 65_536), rows, capacity);
}

const names = new WeakMap<Arena, Map<number, number>>();

/** Where in the arena the socket address of a host (u32) stands, as a receive leaves it. */
export function nameOf(arena: Arena, host: number): number {
  const known = names.get(arena) ?? new Map<number, number>();
  names.set(arena, known);
  let name = known.get(host);
  if (name === undefined) {
    name = arena.allocate(SOCKADDR_BYTES);
    emitSockaddr(arena.view, name, host, PEER_PORT);
    known.set(host, name);
  }
  return name;
}
