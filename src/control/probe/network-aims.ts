/**
 * Whom a measurement asks on layer-2 networks: the host that has an address or a MAC, or the own address of a host.
 * @module
 */
import { type NetworkAim, networkAimsCall } from '../../api/network/aims.ts';
import type { MemberView } from '../../gossip/base/api.ts';
import {
  familyOf,
  formatHostAddress,
  formatHostPrefix,
  holdsHost,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import type { Route } from '../admin/admin.ts';
import { answerTo } from '../admin/answer-to.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { NetworkSpec } from '../store/link-spec.ts';
import { isMac, targetIn } from './network-end.ts';

export type NetworkAimsOptions = {
  specs: () => readonly NetworkSpec[];
  entries: Pick<EntryService, 'get' | 'entries'>;
  members: () => readonly MemberView[];
  /** The MAC that the host at a tunnel endpoint has itself; undefined = not known. */
  macOfHost: (spec: NetworkSpec, host: UnderlayAddress) => number | undefined;
};

/** One other host on one network. */
export type NetworkHostAim = {
  spec: NetworkSpec;
  host: UnderlayAddress;
  owner: string;
  /** Own addresses on the network, of one family: ours, and that of the host. */
  own: UnderlayAddress;
  inside: UnderlayAddress;
};

function addressOf(text: string): UnderlayAddress | undefined {
  try {
    return isMac(text) ? undefined : parseHostAddress(text);
  } catch {
    return undefined;
  }
}

export class NetworkAims {
  readonly #options: NetworkAimsOptions;

  constructor(options: NetworkAimsOptions) {
    this.#options = options;
  }

  /** The addresses that a MAC has on a network. */
  #addressesOf({ name }: NetworkSpec, mac: number): UnderlayAddress[] {
    const addresses: UnderlayAddress[] = [];
    for (const { id, best } of this.#options.entries.entries(name, 'mac+ip')) {
      if (id.kind === 'mac+ip' && best.mac === mac) addresses.push(id.address);
    }
    return addresses.sort((a, b) => familyOf(a) - familyOf(b));
  }

  /** Our own address for asking `inside`: of its family, and of its prefix if there is one. */
  #ownFor({ addresses = [] }: NetworkSpec, inside: UnderlayAddress): UnderlayAddress | undefined {
    const own = addresses.filter(({ address }) => familyOf(address) === familyOf(inside));
    const near = own.find((prefix) => holdsHost(prefix, inside)) ?? own[0];
    return near?.address;
  }

  /** The own address of the host at a tunnel endpoint that we can ask, and ours for it. */
  #between(spec: NetworkSpec, host: UnderlayAddress) {
    const mac = this.#options.macOfHost(spec, host);
    for (const inside of mac === undefined ? [] : this.#addressesOf(spec, mac)) {
      const own = this.#ownFor(spec, inside);
      if (own !== undefined) return { own, inside };
    }
    return undefined;
  }

  /** Every other host that takes part in one of the networks and has an address of its own there. */
  hosts(): NetworkHostAim[] {
    const { specs, entries } = this.#options;
    return specs().flatMap((spec) =>
      [...entries.entries(spec.name, 'vtep')].flatMap(({ best }): NetworkHostAim[] => {
        const ends = this.#between(spec, best.peer);
        return ends === undefined ? [] : [{ spec, host: best.peer, owner: best.owner, ...ends }];
      }),
    );
  }

  /** What a word means on each network that knows it. */
  find(what: string, network: string | null): NetworkAim[] {
    return this.#options
      .specs()
      .filter((spec) => network === null || spec.network === network || spec.name === network)
      .flatMap((spec) => this.#in(spec, what));
  }

  #in(spec: NetworkSpec, what: string): NetworkAim[] {
    const { entries, members } = this.#options;
    const link = spec.name;
    const address = addressOf(what);
    if (isMac(what) || address !== undefined) {
      const { at, mac } = targetIn(entries, link, what);
      if (at !== undefined && mac !== undefined) {
        const inside = address ?? this.#addressesOf(spec, mac)[0];
        const host = at.source === 'local' ? undefined : at.peer;
        return [this.#aim(spec, host, at.owner, inside)];
      }
    }
    const named = members().find(({ name, id }) => name === what || id === what);
    for (const { best } of entries.entries(link, 'vtep')) {
      if (best.peer !== address && (named === undefined || best.owner !== named.id)) continue;
      return [this.#aim(spec, best.peer, best.owner, this.#between(spec, best.peer)?.inside)];
    }
    return [];
  }

  #aim(
    spec: NetworkSpec,
    host: UnderlayAddress | undefined,
    owner: string,
    inside: UnderlayAddress | undefined,
  ): NetworkAim {
    const { network, name: bridge, device, vni, port, innerMtu, underlayMtu } = spec;
    const member = this.#options.members().find(({ id }) => id === owner);
    const text = (address: UnderlayAddress | undefined): string =>
      address === undefined ? '' : formatHostAddress(address);
    return {
      ...{ network, bridge, device, vni, port, innerMtu, underlayMtu },
      ...{ underlay: formatHostPrefix(spec.underlay), local: formatHostAddress(spec.local) },
      own: text(inside === undefined ? spec.addresses?.[0]?.address : this.#ownFor(spec, inside)),
      ...{ host: text(host), member: member?.id ?? '', name: member?.name ?? '' },
      ...{ state: member?.state ?? '', inside: text(inside) },
    };
  }

  route(): Route {
    return answerTo(networkAimsCall, ({ what, network }) => this.find(what, network));
  }
}
