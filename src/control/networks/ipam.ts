/**
 * What of each network this host hands out, who else does, and what of it is in use.
 * @module
 */
import type { IpamJson } from '../../api/network/ipam.ts';
import { contains, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { NetworkSpec } from '../store/link-spec.ts';

export type IpamOptions = {
  entries: Pick<EntryService, 'entries'>;
  /** The networks that are up. */
  specs: () => readonly NetworkSpec[];
  /** Other members whose slices meet this host's, by node id. */
  rivals: (spec: NetworkSpec) => { slice: Prefix; owner: string }[];
  /** The name of a member, '' where nobody knows it. */
  nameOf: (owner: string) => string;
};

/** What is wrong with a network's addresses, a sentence for each host that hands out the same ones. */
export function ipamConflicts({ rivals, nameOf }: IpamOptions, spec: NetworkSpec): string[] {
  const { ipam } = spec;
  if (ipam === undefined) return [];
  return rivals(spec).map(
    ({ slice, owner }) =>
      `${nameOf(owner) || owner} hands out addresses of ${formatPrefix(slice)}, this host of ${formatPrefix(ipam.slice)}: compare --ipam and --underlay on both`,
  );
}

/** Networks that hand out addresses: one, by its name or that of its bridge, null = all. */
export function ipamViews(options: IpamOptions, network: string | null): IpamJson[] {
  return options.specs().flatMap((spec) => {
    const { ipam, name } = spec;
    const isMeant = network === null || spec.network === network || name === network;
    if (ipam === undefined || !isMeant) return [];
    const inUse: number[] = [];
    for (const { id } of options.entries.entries(name, 'mac+ip')) {
      if (id.kind !== 'mac+ip' || typeof id.address !== 'number') continue;
      if (contains(ipam.slice, id.address)) inUse.push(id.address);
    }
    const own = (spec.addresses ?? []).flatMap(({ address }) =>
      typeof address === 'number' && contains(ipam.prefix, address) ? [address] : [],
    );
    return [
      {
        ...{ network: spec.network, bridge: name, device: spec.device, mtu: spec.innerMtu },
        ...{ prefix: ipam.prefix, slice: ipam.slice, gateway: own[0] ?? 0 },
        inUse: [...new Set([...inUse, ...own])].sort((a, b) => a - b),
        conflicts: ipamConflicts(options, spec),
      },
    ];
  });
}
