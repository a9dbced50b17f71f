/**
 * Reading the nftables of the host, as far as they concern a fan: our own chains, chains that decide
 * what is forwarded, and chains that may rewrite our packets. Read anew only when something in the
 * ruleset has changed.
 * @module
 */
import { codeOf } from '../../errors.ts';
import { NfTables, type NftChain, type NftRule } from '../../sys/netlink/nf-tables.ts';
import type { PacketFilter } from './snapshot.ts';

/** Hooks of netfilter (NF_INET_*, and the same numbers for bridges). */
export const HOOK_PREROUTING = 0;
export const HOOK_FORWARD = 2;
export const HOOK_POSTROUTING = 4;

/** Chains of `ip filter` that iptables-nft keeps, and that decide about forwarding. */
const FILTER_CHAINS = ['FORWARD', 'DOCKER-USER'];
/** A host with more chains than this that matter is not read further; Kubernetes has few of these. */
const CHAINS_READ_MAX = 64;
const READ_TRIES_MAX = 3;
/** Tables of ours with rules for ports of a bridge begin so; this chain counts what they stop. */
export const PORTS_TABLE = 'fanway-ports_';
export const STOPPED_CHAIN = 'stopped';

/** Whether the rules of a chain are worth reading. */
export function concerns({ family, table, name, base }: NftChain): boolean {
  if (table.startsWith('fanway')) return true;
  if (table === 'filter' && family === 'ip' && FILTER_CHAINS.includes(name)) return true;
  if (table === 'docker-bridges') return true;
  if (base === undefined) return false;
  if (base.hook === HOOK_FORWARD) return base.policy === 'drop';
  if (base.hook === HOOK_POSTROUTING) return base.type === 'nat';
  return base.hook === HOOK_PREROUTING && table === 'raw';
}

const unreadable = (why: string): PacketFilter => ({
  ...{ readable: false, why, chains: [], rules: [] },
});

/** The reader of one network namespace: that of the thread when it is made. */
export class PacketFilterReader {
  readonly #tables: NfTables | undefined;
  readonly #why: string = '';
  #known: { generation: number; filter: PacketFilter } | undefined;

  constructor() {
    try {
      this.#tables = new NfTables();
    } catch (error) {
      this.#why = codeOf(error);
    }
  }

  /** What is there now; never throws. */
  async read(): Promise<PacketFilter> {
    const tables = this.#tables;
    if (tables === undefined) return unreadable(this.#why);
    try {
      const known = this.#known;
      if (known?.generation === (await tables.generation()))
        return this.#counted(known.filter, tables);
      return await this.#readAll(tables);
    } catch (error) {
      return unreadable(codeOf(error));
    }
  }

  async #readAll(tables: NfTables): Promise<PacketFilter> {
    for (let tries = 1; ; tries++) {
      const generation = await tables.generation();
      const chains = await tables.chains();
      const rules: NftRule[] = [];
      for (const chain of chains.filter(concerns).slice(0, CHAINS_READ_MAX)) {
        rules.push(...(await tables.rules(chain)));
      }
      const filter = { readable: true, why: '', chains, rules };
      if ((await tables.generation()) === generation) this.#known = { generation, filter };
      // Changed while it was read: the picture may be half old and half new. It is read again, and
      // where somebody changes rules all the time the next look does that.
      else if (tries < READ_TRIES_MAX) continue;
      return filter;
    }
  }

  /** Counters go on without a change of the ruleset; those of ours that are shown are read anew. */
  async #counted(filter: PacketFilter, tables: NfTables): Promise<PacketFilter> {
    const isCounted = ({ family, table, chain }: NftRule): boolean =>
      family === 'bridge' && table.startsWith(PORTS_TABLE) && chain === STOPPED_CHAIN;
    const rules = filter.rules.filter((rule) => !isCounted(rule));
    if (rules.length === filter.rules.length) return filter;
    for (const chain of filter.chains) {
      if (chain.name !== STOPPED_CHAIN || !chain.table.startsWith(PORTS_TABLE)) continue;
      rules.push(...(await tables.rules(chain)));
    }
    return { ...filter, rules };
  }

  close(): void {
    this.#tables?.close();
  }
}
