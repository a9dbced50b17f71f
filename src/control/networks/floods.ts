/**
 * Whom floods of a network go to, by its mode: to every member that wants them, or to the first service
 * node that is there. A pure function of what the rib has.
 * @module
 */
import {
  compareHosts,
  formatHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import type { ClaimUpdate } from '../../rib/entry.ts';
import type { NetworkSpec } from '../store/link-spec.ts';

/** A host that takes part, by underlay address. */
export type FloodView = {
  /** Hosts that want what is flooded. */
  members: readonly UnderlayAddress[];
  /** Hosts that take part and copy floods for others. */
  replicators: readonly UnderlayAddress[];
  /** Hosts that take part at all. */
  vteps: readonly UnderlayAddress[];
  /** A router is here: what it says to all goes to all, also where nothing is flooded. */
  hasRouter: boolean;
};

/** Copies of one frame at most (table/flood.ts has room for as many). */
export const FLOOD_COPIES_MAX = 1024;

/** Hosts that get a copy of what is flooded here, or of what a router here says; `problem`: why nobody does, '' when all is well. */
export function floodTargets(
  {
    bum,
    serviceNodes,
    replicator,
    local,
  }: Pick<NetworkSpec, 'bum' | 'serviceNodes' | 'replicator' | 'local'>,
  { members, replicators, vteps, hasRouter }: FloodView,
): { hosts: UnderlayAddress[]; problem: string } {
  const others = (hosts: readonly UnderlayAddress[]): UnderlayAddress[] =>
    hosts
      .filter((host) => host !== local)
      .sort(compareHosts)
      .slice(0, FLOOD_COPIES_MAX);
  switch (bum) {
    case 'none':
      return { hosts: hasRouter ? others(vteps) : [], problem: '' };
    case 'replicate':
    case 'learn':
      return { hosts: others(members), problem: '' };
    case 'service-node': {
      // A service node itself copies to everybody; what is already copied the others leave alone.
      if (replicator) return { hosts: others(members), problem: '' };
      // One that says it replicates before one that only takes part: it may be about to say so.
      const alive =
        serviceNodes.find((host) => replicators.includes(host)) ??
        serviceNodes.find((host) => vteps.includes(host));
      if (alive !== undefined) return { hosts: [alive], problem: '' };
      return { hosts: [], problem: 'no service node is there: what is flooded is lost' };
    }
  }
}

/** What is claimed of hosts that somebody named and nobody tells of: they take part, and want floods. */
export function peerClaims({ name, peers = [] }: NetworkSpec): ClaimUpdate[] {
  return peers.flatMap((peer): ClaimUpdate[] => {
    const claim = { peer, owner: formatHostAddress(peer), sequence: 0, mac: 0 };
    return [
      { id: { link: name, kind: 'vtep', member: peer }, claim },
      { id: { link: name, kind: 'flood', member: peer }, claim },
    ];
  });
}
