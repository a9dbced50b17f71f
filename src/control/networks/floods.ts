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
import type { EntryService } from '../entries/entry-service.ts';
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

/** Who takes part in a network by its entries, and the label that each member wants floods with, 0 = none. */
export function floodViewOf(
  entries: Pick<EntryService, 'entries'>,
  link: string,
  hasRouter: boolean,
): { view: FloodView; labels: ReadonlyMap<UnderlayAddress, number> } {
  const [members, vteps] = [
    [...entries.entries(link, 'flood')],
    [...entries.entries(link, 'vtep')],
  ];
  const view = {
    members: members.map(({ best }) => best.peer),
    vteps: vteps.map(({ best }) => best.peer),
    replicators: vteps.flatMap(({ best }) => (best.isReplicator === true ? [best.peer] : [])),
    hasRouter,
  };
  return { view, labels: new Map(members.map(({ best }) => [best.peer, best.label ?? 0])) };
}

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

/** Through whom a network's floods go, and how that came. */
export type Through = {
  /** The service node; undefined = none, or each host gets its own copy from here. */
  host: UnderlayAddress | undefined;
  /** How often another one took over, and when the last did, monotonic ms. */
  changes: number;
  changedMs: number;
};

type Choice = Through & { problem: string };

/** What was chosen for each network. */
export class FloodChoices {
  readonly #links = new Map<string, Choice>();

  /** Why floods of a network go nowhere; '' when all is well. */
  problem(link: string): string {
    return this.#links.get(link)?.problem ?? '';
  }

  through(link: string): Through {
    return this.#links.get(link) ?? { host: undefined, changes: 0, changedMs: 0 };
  }

  /** Takes note of a choice. @returns whether the service node is another */
  note(
    { name, bum, replicator }: Pick<NetworkSpec, 'name' | 'bum' | 'replicator'>,
    { hosts, problem }: ReturnType<typeof floodTargets>,
    nowMs: number,
  ): boolean {
    const before = this.through(name);
    const host = bum === 'service-node' && !replicator ? hosts[0] : undefined;
    if (before.host === host) {
      this.#links.set(name, { ...before, problem });
      return false;
    }
    // The first one takes over from nobody.
    const changes = before.changes + (before.changedMs === 0 ? 0 : 1);
    this.#links.set(name, { host, changes, changedMs: nowMs, problem });
    return true;
  }

  forget(link: string): void {
    this.#links.delete(link);
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
