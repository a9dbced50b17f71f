/**
 * Chains of nftables that are ours whole: loaded as text, and known again by what the kernel made of
 * that text when it was loaded. So whatever somebody takes out, puts in or changes is seen, and no
 * version of `nft` has to print a rule the way we wrote it.
 * @module
 */
import { createHash } from 'node:crypto';
import { codeOf, messageOf } from '../../../../errors.ts';
import { tableOf } from '../../../../sys/host/nft.ts';
import type { Host } from '../../../host/host.ts';
import { PORTS_TABLE, RULES_TABLE } from '../../../host/packet-filter.ts';
import type { PacketFilter } from '../../../host/snapshot.ts';
import type { Context } from '../kind.ts';
import type { Memo } from '../memo.ts';

export type OwnChain = {
  family: 'ip' | 'ip6' | 'bridge' | 'inet';
  table: string;
  name: string;
  /** `type nat hook postrouting priority 100`; '' for a chain that rules jump to. */
  hook: string;
  rules: readonly string[];
  /** What it is for, as status calls it when it is lost. */
  what: string;
};

const keyOf = ({ family, table, name }: OwnChain): string => `${family} ${table} ${name}`;
const digest = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, 32);

/** The whole text of some chains of one table: whatever was in them is replaced. */
export function chainsText(chains: readonly OwnChain[]): string {
  const lines: string[] = [];
  for (const { family, table } of chains) lines.push(`add table ${family} ${table}`);
  // Adding before deleting makes the deletion succeed whether or not the chain was there; flushing
  // all before deleting any lets go of jumps from one to the other.
  for (const chain of chains)
    lines.push(`add chain ${keyOf(chain)}`, `flush chain ${keyOf(chain)}`);
  for (const chain of chains) lines.push(`delete chain ${keyOf(chain)}`);
  for (const chain of chains) {
    const hook = chain.hook === '' ? '' : ` { ${chain.hook}; policy accept; }`;
    lines.push(`add chain ${keyOf(chain)}${hook}`);
  }
  for (const chain of chains) {
    for (const rule of chain.rules) lines.push(`add rule ${keyOf(chain)} ${rule}`);
  }
  return `${lines.join('\n')}\n`;
}

/** What the kernel holds of a chain, as a short text that two equal chains share; '' when gone. */
function printOf(chain: OwnChain, filter: PacketFilter): string {
  const { family, table, name } = chain;
  const found = filter.chains.find(
    (one) => one.family === family && one.table === table && one.name === name,
  );
  if (found === undefined) return '';
  const rules = filter.rules.filter(
    (one) => one.family === family && one.table === table && one.chain === name,
  );
  return digest(JSON.stringify([found.base ?? null, rules.map((rule) => rule.text)]));
}

/**
 * Loads chains and remembers what the kernel made of each.
 * @param before lines that stand before them: what they need beside chains
 * @throws NftError.
 */
export async function loadChains(
  chains: readonly OwnChain[],
  memo: Memo,
  host: Host,
  before = '',
): Promise<void> {
  await host.loadRules(`${before}${chainsText(chains)}`);
  const filter = await host.packetFilter();
  const loaded = chains.map((chain) => [
    keyOf(chain),
    { text: digest(chainsText([chain])), print: filter.readable ? printOf(chain, filter) : '' },
  ]);
  memo.chains = { ...memo.chains, ...Object.fromEntries(loaded) };
}

/**
 * The same for chains about one bridge: as a kernel takes them that can say which bridge a frame is in, else by the
 * ports that stand for it. What it takes in neither way stays so until the chains are others.
 * @param problem what that leaves open, for status
 * @throws NftError of anything but a refusal.
 */
export async function loadByBridge(
  chainsOf: (byBridge: boolean) => readonly OwnChain[],
  memo: Memo,
  host: Host,
  { before, problem }: { before: string; problem: string },
): Promise<void> {
  for (const byBridge of [true, false]) {
    const chains = chainsOf(byBridge);
    memo.byBridge = byBridge;
    try {
      await loadChains(chains, memo, host, before);
      delete memo.foreign;
      delete memo.problem;
      return;
    } catch (error) {
      if (codeOf(error) !== 'EREFUSED') throw error;
      noteText(chains, memo);
      memo.foreign = true;
      memo.problem = `${problem}: ${messageOf(error)}`;
    }
  }
}

/**
 * The same for chains that a fan can do without: where the kernel or `nft` has no such rules, that is
 * logged and kept for status, with what it costs.
 */
export async function tryChains(
  chains: readonly OwnChain[],
  memo: Memo,
  { host, log }: Context,
  cost: string,
): Promise<void> {
  delete memo.problem;
  delete memo.foreign;
  try {
    await loadChains(chains, memo, host);
  } catch (error) {
    if (codeOf(error) !== 'EREFUSED') throw error;
    memo.foreign = true;
    memo.problem = `${cost}: ${messageOf(error)}`;
    log.warn('nft', memo.problem);
  }
}

/** Remembers chains that could not be loaded. */
export function noteText(chains: readonly OwnChain[], memo: Memo): void {
  const texts = chains.map((one) => [keyOf(one), { text: digest(chainsText([one])), print: '' }]);
  memo.chains = Object.fromEntries(texts);
}

/** Whether a chain was last loaded with other rules than it should have now. */
export function isOutdated(chain: OwnChain, memo: Memo): boolean {
  return memo.chains?.[keyOf(chain)]?.text !== digest(chainsText([chain]));
}

/** What of some chains is not as it was loaded, a line each. */
export async function lostChains(
  chains: readonly OwnChain[],
  memo: Memo,
  host: Host,
): Promise<string[]> {
  if (memo.foreign === true) return [];
  const filter = await host.packetFilter();
  if (!filter.readable) return [];
  return chains.flatMap((chain) => {
    const { text, print } = memo.chains?.[keyOf(chain)] ?? { text: '', print: '' };
    const now = printOf(chain, filter);
    if (now !== '' && now === print && text === digest(chainsText([chain]))) return [];
    const how = now === '' ? `chain ${chain.name} is gone` : `rules of chain ${chain.name} changed`;
    return [`${chain.what} (${how})`];
  });
}

/** Takes chains back, and their tables with the last of them. Nothing happens without `nft`. */
export async function unloadChains(chains: readonly OwnChain[], host: Host): Promise<void> {
  for (const family of new Set(chains.map((chain) => chain.family))) {
    await unloadFamily(
      chains.filter((chain) => chain.family === family),
      host,
    );
  }
}

async function unloadFamily(chains: readonly OwnChain[], host: Host): Promise<void> {
  const [first] = chains;
  if (first === undefined || !host.hasNft()) return;
  const { family, table } = first;
  const filter = await host.packetFilter();
  const isOurs = (name: string): boolean => chains.some((chain) => chain.name === name);
  const inTable = filter.chains.filter((one) => one.family === family && one.table === table);
  if (inTable.every(({ name }) => isOurs(name))) {
    await dropTable(family, table, host, filter);
    return;
  }
  const lines = chains.map((chain) => `add chain ${keyOf(chain)}\nflush chain ${keyOf(chain)}`);
  const deletions = chains.map((chain) => `delete chain ${keyOf(chain)}`);
  await host.loadRules(`${[...lines, ...deletions].join('\n')}\n`);
}

/** @param filter what there was; where nothing of the table was seen, a kernel without such tables has none */
async function dropTable(
  family: OwnChain['family'],
  table: string,
  host: Host,
  filter: PacketFilter,
): Promise<void> {
  try {
    await host.loadRules(`add table ${family} ${table}\ndelete table ${family} ${table}\n`);
  } catch (error) {
    const isSeen = filter.chains.some((one) => one.family === family && one.table === table);
    if (isSeen || !filter.readable || codeOf(error) !== 'EREFUSED') throw error;
  }
}

/** The table of a link's rules for ports of its bridge. */
export function portsTableOf(link: string): string {
  return tableOf(link).replace('fanway_', PORTS_TABLE);
}

/** The table of a network's rules between containers of this host. */
export function rulesTableOf(link: string): string {
  return tableOf(link).replace('fanway_', RULES_TABLE);
}

/** Takes back a table, if it is there. */
export async function dropIfThere(
  family: OwnChain['family'],
  table: string,
  host: Host,
): Promise<void> {
  if (!host.hasNft()) return;
  const filter = await host.packetFilter();
  if (filter.chains.some((one) => one.family === family && one.table === table)) {
    await dropTable(family, table, host, filter);
  }
}

/** Takes back every table of a link, also of one whose journal cannot be read. */
export async function dropTables(link: string, host: Host): Promise<void> {
  if (!host.hasNft()) return;
  const filter = await host.packetFilter();
  await dropTable('ip', tableOf(link), host, filter);
  for (const family of ['ip6', 'inet'] as const) await dropIfThere(family, tableOf(link), host);
  for (const table of [portsTableOf(link), rulesTableOf(link)]) {
    await dropIfThere('bridge', table, host);
  }
}
