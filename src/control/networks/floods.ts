/**
 * Whom floods of a network go to, by its mode: to every member that wants them, or to the first service
 * node that is there. A pure function of what the rib has.
 * @module
 */
import { compareHosts, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { NetworkSpec } from '../store/link-spec.ts';

/** A host that takes part, by underlay address. */
export type FloodView = {
  /** Hosts that want what is flooded. */
  members: readonly UnderlayAddress[];
  /** Hosts that take part and copy floods for others. */
  replicators: readonly UnderlayAddress[];
  /** Hosts that take part at all. */
  vteps: readonly UnderlayAddress[];
};

/** Copies of one frame at most (table/flood.ts has room for as many). */
export const FLOOD_COPIES_MAX = 1024;

/** Hosts that get a copy of what is flooded here; `problem`: why nobody does, '' when all is well. */
export function floodTargets(
  { bum, serviceNodes, local }: Pick<NetworkSpec, 'bum' | 'serviceNodes' | 'local'>,
  { members, replicators, vteps }: FloodView,
): { hosts: UnderlayAddress[]; problem: string } {
  switch (bum) {
    case 'none':
      return { hosts: [], problem: '' };
    case 'replicate':
    case 'learn': {
      const others = members.filter((host) => host !== local).sort(compareHosts);
      return { hosts: others.slice(0, FLOOD_COPIES_MAX), problem: '' };
    }
    case 'service-node': {
      // One that says it replicates before one that only takes part: it may be about to say so.
      const alive =
        serviceNodes.find((host) => replicators.includes(host)) ??
        serviceNodes.find((host) => vteps.includes(host));
      if (alive !== undefined) return { hosts: [alive], problem: '' };
      return { hosts: [], problem: 'no service node is there: what is flooded is lost' };
    }
  }
}
