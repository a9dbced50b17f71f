/**
 * `fanway keygen`: a new cluster key in a file that only its owner can read.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { createPrivateFile } from '../../control/store/private-file.ts';
import { ExitCode } from '../../errors.ts';
import { formatKeyId, Keyring } from '../../gossip/base/keyring.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { KEY_FILE_DEFAULT } from './keys.ts';

export const keygen: Verb = {
  name: 'keygen',
  summary: 'make a key for the gossip of a cluster',
  usage: ['keygen [--out FILE] [--json]'],
  options: [
    ['--out FILE', `where to, mode 0600; ${KEY_FILE_DEFAULT} when left out, - prints it`],
    ['--json', 'print file and key id as JSON'],
  ],
  examples: [
    ['fanway keygen', 'once; then copy the file to every host, by ssh say'],
    ['fanway keygen --out - | ssh host-b fanway join host-a --key -', 'to another host only'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--out': 'value', '--json': 'switch' });
    noMore(rest, keygen);
    const file = flags.get('--out') ?? KEY_FILE_DEFAULT;
    const keyring = Keyring.generate(randomBytes);
    const id = formatKeyId(keyring.inUse.id);
    if (file === '-') {
      io.out(keyring.format());
      return ExitCode.Ok;
    }
    createPrivateFile(file, keyring.format());
    if (flags.has('--json')) printJson(io, { file, id });
    else io.out(`${file}: key ${id}, mode 0600; every host of the cluster needs this file\n`);
    return ExitCode.Ok;
  },
};
