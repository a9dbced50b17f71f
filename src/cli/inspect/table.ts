/**
 * `fanway table`: what the members announce.
 * @module
 */
import { ENTRY_KIND_NAMES, type EntryJson, type TablePage, tableCall } from '../../api/entries.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

const COLUMNS = ['', 'kind', 'VNI', 'entry', 'owner', 'rank'].map((title) => ({ title }));

/** The entries as a table; `*` marks those of this host. */
export function tableText(entries: readonly EntryJson[]): string {
  if (entries.length === 0) return 'nothing is announced\n';
  const rows = entries.map((entry) => [
    entry.self ? '*' : '',
    entry.kind,
    String(entry.vni),
    entry.prefix ?? ([entry.mac, entry.address, entry.text].filter(Boolean).join(' ') || '-'),
    entry.name || entry.owner,
    String(entry.rank),
  ]);
  return `${renderTable(COLUMNS, rows)}\n`;
}

export const table: Verb = {
  name: 'table',
  summary: 'what the members announce',
  usage: ['table [--kind KIND] [--vni N] [--json]'],
  options: [
    [`--kind ${ENTRY_KIND_NAMES.join('|')}`, 'only entries of this kind'],
    ['--vni N', 'only of this network'],
    ['--json', 'as JSON'],
  ],
  examples: [
    ['fanway table', 'who has which address, of those that the arithmetic does not say'],
    ['fanway table --kind prefix --json', 'for programs'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--kind': 'value',
      '--vni': 'value',
      '--json': 'switch',
    });
    noMore(rest, table);
    const kindText = flags.get('--kind');
    const kind = ENTRY_KIND_NAMES.find((known) => known === kindText);
    if (kindText !== undefined && kind === undefined) {
      throw usageError('usage', `--kind is one of ${ENTRY_KIND_NAMES.join(', ')}`);
    }
    const vni = flags.get('--vni');
    if (vni !== undefined && !/^[0-9]{1,8}$/.test(vni)) {
      throw usageError('usage', '--vni is a number');
    }
    const filter = { kind: kind ?? null, vni: vni === undefined ? null : Number(vni) };
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const entries: EntryJson[] = [];
    for (let from: number | null = 0; from !== null; ) {
      const page: TablePage = await ask(run, tableCall, { ...filter, from });
      for (const entry of page.entries) entries.push(entry);
      from = page.next;
    }
    if (flags.has('--json')) printJson(io, entries);
    else io.out(tableText(entries));
    return ExitCode.Ok;
  },
};
