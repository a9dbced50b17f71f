/**
 * The nftables of the host, as far as they concern a fan: our own chains, chains that decide what is
 * forwarded, and chains that may rewrite our packets. Read anew only when somebody else has changed
 * something in the ruleset.
 * @module
 */
import { codeOf, messageOf } from '../../errors.ts';
import { loadRules, NftError } from '../../sys/host/nft.ts';
import { NfTables, type NftChain, type NftRule } from '../../sys/netlink/nf/tables.ts';
import { type NfTransaction, nfTransaction } from '../../sys/netlink/nf/text.ts';
import type { PacketFilter } from './snapshot.ts';

/** Hooks of netfilter (NF_INET_*, and the same numbers for bridges). */
export const HOOK_PREROUTING = 0;
export const HOOK_FORWARD = 2;
export const HOOK_OUTPUT = 3;
export const HOOK_POSTROUTING = 4;

/** Chains of `ip filter` that iptables-nft keeps, and that decide about forwarding. */
const FILTER_CHAINS = ['FORWARD', 'DOCKER-USER'];
/** A host with more chains of others than this that matter is not read further; Kubernetes has few of these. */
const CHAINS_READ_MAX = 64;
const READ_TRIES_MAX = 3;
/** Generations of our own that are remembered: those of a whole start. */
const OWN_MAX = 4096;
/** How old what our counters say may be, ms. */
const COUNTED_MS = 1000;
/** Tables of ours with rules for ports of a bridge begin so; this chain counts what they stop. */
export const PORTS_TABLE = 'fanway-ports_';
export const STOPPED_CHAIN = 'stopped';
/** Those with the rules of a network between containers of this host begin so. */
export const RULES_TABLE = 'fanway-rules_';

const isOurs = ({ table }: Pick<NftChain, 'table'>): boolean => table.startsWith('fanway');

/** Whether the rules of a chain are worth reading. */
export function concerns(chain: NftChain): boolean {
  const { family, table, name, base } = chain;
  if (isOurs(chain)) return true;
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

type Known = { generation: number; filter: PacketFilter };

/** A rule whose counter is shown. */
function isCounted({ family, table, chain, comment }: NftRule): boolean {
  // What stands beside a rule of a network says which one it is.
  if (comment !== '' && isOurs({ table })) return true;
  return family === 'bridge' && table.startsWith(PORTS_TABLE) && chain === STOPPED_CHAIN;
}

/** The rules of our own tables: those of bridges, which others seldom have, in one go. */
async function ourRules(chains: readonly NftChain[], tables: NfTables): Promise<NftRule[]> {
  const ours = chains.filter(isOurs);
  const isBridges = ours.some(({ family }) => family === 'bridge');
  const rules = isBridges ? (await tables.rules({ family: 'bridge' })).filter(isOurs) : [];
  const seen = new Set<string>();
  for (const { family, table } of ours) {
    if (family === 'bridge' || seen.has(`${family} ${table}`)) continue;
    seen.add(`${family} ${table}`);
    rules.push(...(await tables.rules({ family, table })));
  }
  return rules;
}

/** The ruleset after a change of our own. */
async function afterChange(
  filter: PacketFilter,
  { touched }: NfTransaction,
  tables: NfTables,
): Promise<PacketFilter> {
  let { chains, rules } = filter;
  for (const { family, table, name } of touched) {
    const isOther = (one: { family: string; table: string }, chain: string): boolean =>
      one.family !== family || one.table !== table || (name !== '' && chain !== name);
    chains = chains.filter((one) => isOther(one, one.name));
    rules = rules.filter((one) => isOther(one, one.chain));
    const now = name === '' ? undefined : await tables.chain({ family, table, name });
    if (now === undefined) continue;
    chains.push(now);
    if (concerns(now)) rules.push(...(await tables.rules(now)));
  }
  return { ...filter, chains, rules };
}

/** The reader of one network namespace: that of the thread when it is made. */
export class PacketFilterReader {
  readonly #tables: NfTables | undefined;
  readonly #why: string = '';
  #known: Known | undefined;
  #countedAtMs = Number.NEGATIVE_INFINITY;
  /** Generations that we made, the latest of them. */
  readonly #own: number[] = [];

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
      if (known?.generation === (await tables.generation())) {
        return await this.#counted(known, tables);
      }
      return await this.#readAll(tables);
    } catch (error) {
      return unreadable(codeOf(error));
    }
  }

  async #readAll(tables: NfTables): Promise<PacketFilter> {
    for (let tries = 1; ; tries++) {
      const generation = await tables.generation();
      const chains = await tables.chains();
      const rules: NftRule[] = await ourRules(chains, tables);
      const others = chains.filter((chain) => concerns(chain) && !isOurs(chain));
      for (const chain of others.slice(0, CHAINS_READ_MAX)) {
        rules.push(...(await tables.rules(chain)));
      }
      const filter = { readable: true, why: '', chains, rules };
      if ((await tables.generation()) === generation) this.#known = { generation, filter };
      // Changed while it was read: the picture may be half old and half new. It is read again, and
      // where somebody changes rules all the time the next look does that.
      else if (tries < READ_TRIES_MAX) continue;
      this.#countedAtMs = performance.now();
      return filter;
    }
  }

  /** Counters go on without a change of the ruleset; those of ours that are shown are read anew. */
  async #counted({ generation, filter }: Known, tables: NfTables): Promise<PacketFilter> {
    const nowMs = performance.now();
    const isDue = nowMs - this.#countedAtMs >= COUNTED_MS;
    if (!isDue || !filter.rules.some(isCounted)) return filter;
    const families = new Set(filter.rules.filter(isCounted).map(({ family }) => family));
    const counted: NftRule[] = [];
    for (const family of families) {
      counted.push(...(await tables.rules({ family })).filter(isCounted));
    }
    const rules = [...filter.rules.filter((rule) => !isCounted(rule)), ...counted];
    this.#countedAtMs = nowMs;
    this.#known = { generation, filter: { ...filter, rules } };
    return this.#known.filter;
  }

  /**
   * Loads rules in one transaction, all of them or none. What is known of the ruleset stays known where
   * nobody else changed it meanwhile.
   * @throws NftError as {@link loadRules}
   */
  async load(text: string): Promise<void> {
    const tables = this.#tables;
    const transaction = tables === undefined ? undefined : nfTransaction(text);
    if (tables === undefined || transaction === undefined) return await loadRules(text);
    let generation: number;
    try {
      generation = await tables.change(transaction.messages);
    } catch (error) {
      throw new NftError('EREFUSED', `nf_tables refused: ${messageOf(error)}`);
    }
    this.#own.push(generation);
    if (this.#own.length > OWN_MAX) this.#own.shift();
    const known = this.#known;
    if (known === undefined || generation !== known.generation + 1) return;
    const filter = await afterChange(known.filter, transaction, tables);
    this.#known = { generation, filter };
  }

  /** Whether a generation of the ruleset is of our own making. */
  isOwn(generation: number): boolean {
    return this.#own.includes(generation);
  }

  close(): void {
    this.#tables?.close();
  }
}
