/**
 * What of the gossip channel outlives its process: that it runs here, how, and what people had it
 * announce. A router that is killed and started again goes on with it.
 * @module
 */
import { renameSync, rmSync } from 'node:fs';
import type { GossipSettings } from '../../config/gossip.ts';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { UnderlayPrefix } from '../../net/underlay-address.ts';
import { type RunDirectory, readIfThere, syncDirectory, writeAtomically } from './run-directory.ts';

const RECORD_VERSION = 1;

export type GossipRecord = {
  settings: GossipSettings;
  /** Addresses (length 32 or 128) and prefixes, in the order they were announced. */
  announced: UnderlayPrefix[];
};

export class RecordStore {
  readonly #run: RunDirectory;

  constructor(run: RunDirectory) {
    this.#run = run;
  }

  /** undefined when there is none; one that cannot be read is set aside, and counts as none. */
  read(log: Log): GossipRecord | undefined {
    try {
      const text = readIfThere(this.#run.gossip);
      if (text === undefined) return undefined;
      const record = parseRecord(text);
      if (record !== undefined) return record;
      log.error('gossip', 'the record of how gossip ran is damaged: set aside; join again');
      renameSync(this.#run.gossip, `${this.#run.gossip}.damaged`);
    } catch (error) {
      log.error('gossip', `the record of how gossip ran cannot be read: ${messageOf(error)}`);
    }
    return undefined;
  }

  /** Durable when it returns. @throws the writing error. */
  write(record: GossipRecord): void {
    const text = JSON.stringify({ version: RECORD_VERSION, ...record });
    writeAtomically(this.#run.gossip, `${text}\n`);
  }

  remove(): void {
    rmSync(this.#run.gossip, { force: true, recursive: true });
    syncDirectory(this.#run.path);
  }
}

/** The file is ours and written whole, so its frame is checked and not each field. */
function parseRecord(text: string): GossipRecord | undefined {
  try {
    const value = JSON.parse(text) as Partial<GossipRecord> & { version?: unknown };
    const { version, settings, announced } = value;
    if (version !== RECORD_VERSION || !Array.isArray(announced)) return undefined;
    if (!Array.isArray(settings?.seeds) || typeof settings.label !== 'string') return undefined;
    return { settings, announced };
  } catch {
    return undefined;
  }
}
