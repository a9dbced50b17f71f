/**
 * What layer-2 networks show of themselves on the admin socket; addresses are text here.
 * @module
 */

import {
  type BindingJson,
  type MacJson,
  NETWORK_PAGE_MAX,
  type NetworkExplanation,
  type NetworkMember,
  type PastJson,
} from '../../api/networks.ts';
import { formatMac, parseMac } from '../../net/mac.ts';
import {
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import type { Best } from '../../rib/entry.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { NetworkTablePort } from '../plane/tables/network-table.ts';
import type { NetworkSpec } from '../store/link-spec.ts';
import type { NetworkService } from './network-service.ts';

/** Members that are listed. */
const MEMBERS_MAX = 256;

export type NetworkViewsOptions = {
  networks: NetworkService;
  entries: EntryService;
  table: () => NetworkTablePort | undefined;
  specs: () => readonly NetworkSpec[];
  /** The name of a member, '' where nobody knows it. */
  nameOf: (owner: string) => string;
};

/** Where something is: '' = here. */
function hostText({ source, peer }: Best): string {
  return source === 'local' ? '' : formatHostAddress(peer);
}

export class NetworkViews {
  readonly #options: NetworkViewsOptions;

  constructor(options: NetworkViewsOptions) {
    this.#options = options;
  }

  #nameOf({ source, owner }: Best): string {
    return source === 'local' ? '' : this.#options.nameOf(owner);
  }

  /** The networks that are meant, by name or bridge; null = all. */
  #specs(network: string | null): readonly NetworkSpec[] {
    return this.#options
      .specs()
      .filter((spec) => network === null || spec.network === network || spec.name === network);
  }

  members(link: string): NetworkMember[] {
    const { entries } = this.#options;
    const floods = new Set([...entries.entries(link, 'flood')].map(({ best }) => best.peer));
    const members: NetworkMember[] = [];
    for (const { best } of entries.entries(link, 'vtep')) {
      members.push({
        ...{ host: formatHostAddress(best.peer), owner: best.owner, name: this.#nameOf(best) },
        ...{ source: best.source, floods: floods.has(best.peer) },
        replicator: best.isReplicator === true,
      });
    }
    return members.sort((a, b) => (a.host < b.host ? -1 : 1));
  }

  firstMembers(link: string): { members: NetworkMember[]; memberCount: number } {
    const members = this.members(link);
    return { members: members.slice(0, MEMBERS_MAX), memberCount: members.length };
  }

  /** How many MACs of a link are where. */
  macCounts(link: string): {
    local: number;
    remote: number;
    frozen: number;
    silent: number;
    refused: number;
  } {
    const { entries, networks } = this.#options;
    const stations = networks.local(link)?.stations;
    const counts = { local: 0, remote: 0, frozen: 0, silent: 0, refused: stations?.refused ?? 0 };
    for (const { id, best } of entries.entries(link, 'mac')) {
      if (best.source === 'local') counts.local++;
      else counts.remote++;
      if (entries.isHeld(id)) counts.frozen++;
    }
    for (const { state } of stations?.all() ?? []) if (state === 'silent') counts.silent++;
    return counts;
  }

  macs(network: string | null, from: number): { macs: MacJson[]; next: number | null } {
    const { entries, networks } = this.#options;
    const page = new Page<MacJson>(from);
    for (const { name, network: label } of this.#specs(network)) {
      const stations = networks.local(name)?.stations;
      for (const { id, best } of entries.entries(name, 'mac')) {
        if (id.kind !== 'mac' || !page.wants()) continue;
        page.add({
          ...{ network: label, mac: formatMac(id.mac), host: hostText(best) },
          ...{ source: best.source, owner: best.owner, name: this.#nameOf(best) },
          ...{ sequence: best.sequence, sticky: best.isSticky === true },
          frozen: entries.isHeld(id),
          silent: stations?.get(id.mac)?.state === 'silent',
          addresses: networks.addresses.of(name, id.mac).map(formatHostAddress),
        });
      }
    }
    return { macs: page.rows, next: page.next };
  }

  bindings(network: string | null, from: number): { bindings: BindingJson[]; next: number | null } {
    const { entries, networks } = this.#options;
    const page = new Page<BindingJson>(from);
    for (const { name, network: label } of this.#specs(network)) {
      for (const { id, best } of entries.entries(name, 'mac+ip')) {
        if (id.kind !== 'mac+ip' || !page.wants()) continue;
        // Where the MAC is decides where packets go, whoever told of the address.
        const at = entries.get({ link: name, kind: 'mac', mac: best.mac }) ?? best;
        page.add({
          ...{ network: label, address: formatHostAddress(id.address), mac: formatMac(best.mac) },
          ...{ host: hostText(at), source: best.source, name: this.#nameOf(best) },
          kernel: typeof id.address === 'number' && networks.answers.has(name, id.address),
        });
      }
    }
    return { bindings: page.rows, next: page.next };
  }

  history(mac: number): PastJson[] {
    const { networks } = this.#options;
    return this.#specs(null)
      .flatMap(({ name, network }) =>
        networks.history.of(name, mac).map(({ atMs, best, remark }): PastJson => {
          if (best === undefined) {
            return { network, atMs, host: null, source: '', name: '', sequence: 0, remark };
          }
          const { source, sequence } = best;
          const host = hostText(best);
          return { network, atMs, host, source, name: this.#nameOf(best), sequence, remark };
        }),
      )
      .sort((a, b) => a.atMs - b.atMs);
  }

  /** What each network knows of a MAC or address, as text. @throws AddressError */
  explain(what: string): NetworkExplanation[] {
    const isMac = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(what);
    const mac = isMac ? parseMac(what) : undefined;
    const address = isMac ? undefined : parseHostAddress(what);
    return this.#specs(null).flatMap((spec) => this.#explainIn(spec, mac, address) ?? []);
  }

  #explainIn(
    spec: NetworkSpec,
    wanted: number | undefined,
    address: UnderlayAddress | undefined,
  ): NetworkExplanation | undefined {
    const { entries, table } = this.#options;
    const link = spec.name;
    const binding =
      address === undefined ? undefined : entries.get({ link, kind: 'mac+ip', address });
    const mac = wanted ?? binding?.mac;
    if (mac === undefined) return undefined;
    const best = entries.get({ link, kind: 'mac', mac });
    const subject = address === undefined ? formatMac(mac) : formatHostAddress(address);
    const base = {
      ...{ network: spec.network, bridge: link, vni: spec.vni, mac: formatMac(mac) },
      address: address === undefined ? '' : subject,
    };
    const whose = address === undefined ? subject : `${subject} is ${formatMac(mac)}, which`;
    if (best === undefined) {
      if (binding === undefined) return undefined;
      return {
        ...{ ...base, host: '', source: '', owner: '', name: '', sequence: 0, inTable: false },
        text: `network ${spec.network}: ${whose} nobody has now: packets to it are dropped`,
      };
    }
    const place = table()?.place(link, mac);
    const expected = best.source === 'local' ? 'here' : best.peer;
    const name = this.#nameOf(best);
    const inTable = place?.host === expected;
    const answers = this.#answersText(link, best, address);
    return {
      ...{ ...base, host: hostText(best), source: best.source, owner: best.owner, name },
      ...{ sequence: best.sequence, inTable },
      text: `network ${spec.network}: ${whose} is ${this.#placeText(best, name)}${answers}${inTable ? '' : '; the data path does not have it so'}`,
    };
  }

  /** Who answers ARP for an address at another host. */
  #answersText(link: string, best: Best, address: UnderlayAddress | undefined): string {
    if (typeof address !== 'number' || best.source === 'local') return '';
    const isBridge = this.#options.networks.answers.has(link, address);
    return `; ARP for it is answered by ${isBridge ? "the kernel's bridge" : 'the data path'}`;
  }

  #placeText(best: Best, name: string): string {
    const moves = best.sequence === 0 ? '' : `, move ${best.sequence}`;
    if (best.source === 'local') return `behind a port of this host${moves}`;
    const who = name === '' ? best.owner : `${name} (${best.owner})`;
    const how = {
      static: 'written down',
      local: '',
      gossip: 'told',
      bgp: 'told',
      learned: 'learned',
      kept: 'kept',
    };
    const by =
      best.source === 'learned'
        ? 'from its frames'
        : best.source === 'kept'
          ? 'from before a restart of the router: nobody has told it again yet'
          : `by ${who} over ${best.source}`;
    return `at host ${formatHostAddress(best.peer)}, ${how[best.source]} ${by}${moves}`;
  }
}

/** Rows from a number on, as many as a page holds. */
class Page<Row> {
  readonly rows: Row[] = [];
  readonly #from: number;
  #seen = 0;
  next: number | null = null;

  constructor(from: number) {
    this.#from = from;
  }

  /** Counts a row; whether it is on this page. */
  wants(): boolean {
    this.#seen++;
    if (this.#seen <= this.#from) return false;
    if (this.rows.length < NETWORK_PAGE_MAX) return true;
    this.next ??= this.#seen - 1;
    return false;
  }

  add(row: Row): void {
    this.rows.push(row);
  }
}
