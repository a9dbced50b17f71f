/**
 * `fanway key`: the keys that this host gossips with, changed while it runs.
 * @module
 */
import { addKeysCall, type KeyJson, keysCall, removeKeyCall, useKeyCall } from '../../api/keys.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { readKeyFile } from './keys.ts';

/** The keys as text. */
export function keysText(keys: readonly KeyJson[]): string {
  if (keys.length === 0) return 'no keys: gossip is in plaintext\n';
  return keys.map(({ id, inUse }) => `${id}${inUse ? '  in use' : '  accepted'}\n`).join('');
}

async function carryOut(words: readonly string[], run: RunDirectory): Promise<KeyJson[]> {
  const [action, word, ...rest] = words;
  if (rest.length === 0) {
    if (action === 'list' && word === undefined) return ask(run, keysCall);
    if (action === 'add' && word !== undefined) {
      return ask(run, addKeysCall, { keys: await readKeyFile(word) });
    }
    if (action === 'use' && word !== undefined) return ask(run, useKeyCall, { id: word });
    if (action === 'remove' && word !== undefined) return ask(run, removeKeyCall, { id: word });
  }
  throw usageError('usage', 'fanway key list, or add FILE, use ID or remove ID; see --help');
}

export const key: Verb = {
  name: 'key',
  summary: 'the keys that this host gossips with',
  usage: ['key list', 'key add FILE', 'key use ID', 'key remove ID'],
  options: [['--json', 'print the keys that are there then as JSON']],
  examples: [
    ['fanway keygen --out new.key', 'to change the key of a running cluster: make one,'],
    ['fanway key add new.key', 'have every host accept it (FILE may be - for standard input),'],
    ['fanway key use 1f2e3d4c', 'then have every host use it,'],
    ['fanway key remove 89abcdef', 'and at last forget the old one'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const keys = await carryOut(rest, new RunDirectory(io.env['FANWAY_RUN_DIR']));
    if (flags.has('--json')) printJson(io, keys);
    else io.out(keysText(keys));
    return ExitCode.Ok;
  },
};
