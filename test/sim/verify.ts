/**
 * What must hold on all running nodes once a cluster is quiet, and what must hold at any time.
 * @module
 */
import type { EntryView } from '../../src/gossip/base/api.ts';
import type { Fabric } from './fabric.ts';
import type { Host } from './host.ts';
import { isShared, itemOf, keyOf } from './items.ts';
import type { Ledger } from './ledger.ts';
import type { Watch } from './watch.ts';

/** Tells no more than so many faults of one kind. */
const TELL_MOST = 5;

/** One line for an entry: two nodes that have the same entries have the same lines. */
function lineOf({ item, owner }: EntryView): string {
  return `${keyOf(item)} of ${owner} rank ${item.rank}`;
}

function linesOf(host: Host): string[] {
  return (host.node?.entries() ?? []).map(lineOf).sort();
}

function only(a: ReadonlySet<string>, b: ReadonlySet<string>): string[] {
  return [...a].filter((line) => !b.has(line));
}

/** Every running node holds just the running ones for alive, and all have the right entries. */
export function checkTables(fabric: Fabric, ledger: Ledger, watch: Watch): void {
  const { running } = fabric;
  const [first, ...others] = running;
  if (first === undefined) return;
  for (const host of running) checkMembers(fabric, host, watch);
  const lines = new Set(linesOf(first));
  for (const host of others) {
    if (host.node?.summaryHash() !== first.node?.summaryHash()) {
      watch.fail(`the tables of ${first.name} and ${host.name} have different hashes`);
    }
    const mine = new Set(linesOf(host));
    const odd = [
      ...only(lines, mine).map((line) => `${first.name} only: ${line}`),
      ...only(mine, lines).map((line) => `${host.name} only: ${line}`),
    ];
    if (odd.length > 0) watch.fail(odd.slice(0, TELL_MOST).join('; '));
  }
  checkEntries(first, ledger, watch);
}

function checkMembers(fabric: Fabric, host: Host, watch: Watch): void {
  const states = new Map(host.node?.members().map(({ id, state }) => [id, state]));
  const wrong = fabric.hosts.flatMap((other) => {
    const state = states.get(other.identity.id);
    const isAlive = state === 'alive' || state === 'suspect';
    return isAlive === other.isRunning ? [] : [`${other.name} ${state ?? 'unknown'}`];
  });
  if (wrong.length > 0)
    watch.fail(`${host.name} is wrong: ${wrong.slice(0, TELL_MOST).join(', ')}`);
}

/** The entries of one node against what the hosts were told. */
function checkEntries(host: Host, ledger: Ledger, watch: Watch): void {
  const owners = new Map<string, Set<string>>();
  for (const { item, owner } of host.node?.entries() ?? []) {
    owners.set(keyOf(item), (owners.get(keyOf(item)) ?? new Set()).add(owner));
  }
  for (const [key, claimants] of ledger.claimants) {
    const right = [...claimants].filter((one) => one.isRunning && ledger.announced(one).has(key));
    const ids = right.map(({ identity }) => identity.id);
    const here = [...(owners.get(key) ?? [])];
    owners.delete(key);
    const numbers = right.flatMap((one) => ledger.announced(one).get(key) ?? []);
    const shared = numbers.some((number) => isShared(itemOf(number)));
    const wrong = here.filter((id) => !ids.includes(id));
    if (wrong.length > 0) watch.fail(`${key} is in the table, of ${wrong}: not announced`);
    // Who lost a key to another stays silent about it, even after that other is gone.
    const isCertain = right.length > 0 && (shared || right.length === claimants.size);
    if (isCertain && here.length === 0) watch.fail(`${key} is announced and in no table`);
    if (!shared && here.length > 1) watch.fail(`${key} has ${here.length} owners`);
  }
  for (const key of owners.keys()) watch.fail(`${key} is in the table and was never announced`);
}

/** No table, queue or list of a node is over its named maximum. */
export function checkBounds(fabric: Fabric, watch: Watch): void {
  for (const host of fabric.running) {
    for (const [name, { size, max }] of Object.entries(host.node?.sizes() ?? {})) {
      if (size > max) watch.fail(`${host.name}: ${name} holds ${size}, more than ${max}`);
    }
  }
}
