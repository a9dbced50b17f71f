/**
 * The keyring of a running node and the file that keeps it. A change is in the file before it
 * counts.
 * @module
 */
import { renameSync } from 'node:fs';
import type { KeyJson } from '../../../api/keys.ts';
import { messageOf, refusedError } from '../../../errors.ts';
import { formatKeyId, Keyring } from '../../../gossip/base/keyring.ts';
import { readPrivateFile } from '../../store/private-file.ts';
import { writeAtomically } from '../../store/run-directory.ts';

export class KeyFile {
  readonly #path: string;
  readonly keyring: Keyring;

  private constructor(path: string, keyring: Keyring) {
    this.#path = path;
    this.keyring = keyring;
  }

  /**
   * Reads the file, or puts `text` in its place; what was there before is kept as `FILE.old`.
   * @throws FanwayError `no-key` when there is neither, or others may read the file.
   */
  static open(path: string, text: string | undefined): KeyFile {
    const present = readPrivateFile(path);
    if (text !== undefined && text !== present) {
      const keyring = Keyring.parse(text, 'the key file');
      if (present !== undefined) renameSync(path, `${path}.old`);
      writeAtomically(path, keyring.format());
      return new KeyFile(path, keyring);
    }
    if (present === undefined) {
      throw refusedError(
        'no-key',
        `gossip needs a key, and ${path} is not there: on the first host fanway keygen makes one, on any other copy ${path} of a member; fanway join --key FILE (or fanway key add FILE) takes it`,
      );
    }
    return new KeyFile(path, Keyring.parse(present, path));
  }

  /** Adds the keys of a text to a file that nobody uses just now, and makes it where it is missing. */
  static extend(path: string, text: string): void {
    const keyring = Keyring.parse(readPrivateFile(path) ?? text, path);
    for (const { bytes } of Keyring.parse(text, 'the key file').keys) keyring.add(bytes);
    writeAtomically(path, keyring.format());
  }

  list(): KeyJson[] {
    const { inUse, keys } = this.keyring;
    return keys.map((key) => ({ id: formatKeyId(key.id), inUse: key === inUse }));
  }

  /** @throws FanwayError `other-key` unless every key of `other` is here already. */
  requireAll(other: Keyring): void {
    for (const { id } of other.keys) {
      if (this.keyring.get(id) !== undefined) continue;
      throw refusedError(
        'other-key',
        `gossip runs here without key ${formatKeyId(id)}: fanway key add FILE adds it`,
      );
    }
  }

  /**
   * Makes a change in a copy, writes it, and only then in the keyring itself.
   * @throws FanwayError; then nothing is changed.
   */
  change(work: (keyring: Keyring) => void): void {
    const copy = Keyring.parse(this.keyring.format(), this.#path);
    work(copy);
    try {
      writeAtomically(this.#path, copy.format());
    } catch (error) {
      throw refusedError(
        'key-file',
        `${this.#path} cannot be written (${messageOf(error)}): the keys stay as they were`,
      );
    }
    work(this.keyring);
  }
}
