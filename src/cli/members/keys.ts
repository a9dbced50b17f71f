/**
 * Cluster keys on the command line: always out of a file or standard input, never an argument,
 * which everybody on the machine could read.
 * @module
 */
import { PRIVATE_FILE_BYTES_MAX, readPrivateFile } from '../../control/store/private-file.ts';
import { refusedError, usageError } from '../../errors.ts';
import { Keyring } from '../../gossip/base/keyring.ts';

/** Where `keygen` writes, and `join` looks. */
export const KEY_FILE_DEFAULT = '/etc/fanway/gossip.key';

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    length += bytes.length;
    if (length > PRIVATE_FILE_BYTES_MAX) throw usageError('usage', 'this is no key file');
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The text of a key file, checked; `-` is standard input.
 * @throws FanwayError when it is not there, others may read it, or it holds no key.
 */
export async function readKeyFile(path: string): Promise<string> {
  const text = path === '-' ? await readStandardInput() : readPrivateFile(path);
  if (text === undefined) {
    throw refusedError(
      'no-key',
      `${path} is not there: copy the file of a member, or for a new key fanway keygen --out ${path} makes it`,
    );
  }
  Keyring.parse(text, path === '-' ? 'standard input' : path);
  return text;
}
