/**
 * `fanway mac` and `fanway arp`: who is where in layer-2 networks, and who said so when.
 * @module
 */
import {
  arpCall,
  type BindingJson,
  type MacJson,
  macHistoryCall,
  macsCall,
  type PastJson,
} from '../../api/networks.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { compareHosts, parseHostAddress } from '../../net/underlay-address.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

const MAC_COLUMNS = ['network', 'MAC', 'where', 'by', 'moves', 'addresses', ''].map((title) => ({
  title,
}));
const ARP_COLUMNS = ['network', 'address', 'MAC', 'where', 'by', 'answered by'].map((title) => ({
  title,
}));
const PAST_COLUMNS = ['since', 'network', 'where', 'by', 'moves', ''].map((title) => ({ title }));

function whereText(host: string | null): string {
  if (host === null) return 'nowhere';
  return host === '' ? 'here' : host;
}

function sourceText(source: string, name: string): string {
  return name === '' ? source : `${source} (${name})`;
}

/** By network, then by number. */
function inOrder<T extends { network: string }>(
  rows: readonly T[],
  compare: (a: T, b: T) => number,
): T[] {
  return rows.toSorted((a, b) =>
    a.network === b.network ? compare(a, b) : a.network < b.network ? -1 : 1,
  );
}

/** The same rows in their order. */
export function byAddress(bindings: readonly BindingJson[]): BindingJson[] {
  const keyed = bindings.map((one) => ({ ...one, key: parseHostAddress(one.address) }));
  return inOrder(keyed, (a, b) => compareHosts(a.key, b.key)).map(({ key: _, ...one }) => one);
}

/** MACs as a table. */
export function macsText(macs: readonly MacJson[]): string {
  if (macs.length === 0) return 'no MACs are known\n';
  const rows = macs.map((each) => [
    ...[each.network, each.mac, whereText(each.host), sourceText(each.source, each.name)],
    ...[String(each.sequence), each.addresses.join(' ')],
    [each.sticky && 'sticky', each.frozen && 'FROZEN', each.silent && 'silent']
      .filter(Boolean)
      .join(' '),
  ]);
  return `${renderTable(MAC_COLUMNS, rows)}\n`;
}

/** Addresses as a table. */
export function bindingsText(bindings: readonly BindingJson[]): string {
  if (bindings.length === 0) return 'no addresses are known\n';
  const rows = bindings.map(({ network, address, mac, host, source, name, kernel }) => {
    const answers = host === '' ? 'itself' : kernel ? 'kernel' : 'data path';
    return [network, address, mac, whereText(host), sourceText(source, name), answers];
  });
  return `${renderTable(ARP_COLUMNS, rows)}\n`;
}

/** Where a MAC was, oldest first. */
export function pastText(past: readonly PastJson[]): string {
  if (past.length === 0) return 'nothing is known of it\n';
  const rows = past.map(({ atMs, network, host, source, name, sequence, remark }) => {
    const since = new Date(atMs).toISOString();
    const told = sourceText(source, name);
    return [since, network, whereText(host), told, String(sequence), remark];
  });
  return `${renderTable(PAST_COLUMNS, rows)}\n`;
}

export const mac: Verb = {
  name: 'mac',
  summary: 'the MACs of layer-2 networks: where each is, and who says so',
  usage: ['mac show [NETWORK] [--json]', 'mac history MAC [--json]'],
  options: [['--json', 'as JSON']],
  examples: [
    ['fanway mac', 'those of all networks'],
    ['fanway mac show blue', 'those of one'],
    ['fanway mac history 02:42:0a:00:00:05', 'who claimed it when'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    if (rest[0] === 'history') {
      const [, wanted, ...more] = rest;
      noMore(more, mac);
      if (wanted === undefined) throw usageError('usage', 'name a MAC: fanway mac history MAC');
      const past = await ask(run, macHistoryCall, { mac: wanted });
      if (flags.has('--json')) printJson(io, past);
      else io.out(pastText(past));
      return ExitCode.Ok;
    }
    const [action = 'show', network, ...more] = rest;
    noMore(action === 'show' ? more : rest, mac);
    const macs: MacJson[] = [];
    for (let from: number | null = 0; from !== null; ) {
      const page: { macs: MacJson[]; next: number | null } = await ask(run, macsCall, {
        network: network ?? null,
        from,
      });
      for (const each of page.macs) macs.push(each);
      from = page.next;
    }
    const sorted = inOrder(macs, (a, b) => (a.mac < b.mac ? -1 : 1));
    if (flags.has('--json')) printJson(io, sorted);
    else io.out(macsText(sorted));
    return ExitCode.Ok;
  },
};

export const arp: Verb = {
  name: 'arp',
  summary: 'the addresses of layer-2 networks: whose each is, and where that is',
  usage: ['arp [NETWORK] [--json]'],
  options: [['--json', 'as JSON']],
  examples: [['fanway arp blue', 'what is answered at home when somebody asks for an address']],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const [network, ...more] = rest;
    noMore(more, arp);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const bindings: BindingJson[] = [];
    for (let from: number | null = 0; from !== null; ) {
      const page: { bindings: BindingJson[]; next: number | null } = await ask(run, arpCall, {
        network: network ?? null,
        from,
      });
      for (const each of page.bindings) bindings.push(each);
      from = page.next;
    }
    const sorted = byAddress(bindings);
    if (flags.has('--json')) printJson(io, sorted);
    else io.out(bindingsText(sorted));
    return ExitCode.Ok;
  },
};
