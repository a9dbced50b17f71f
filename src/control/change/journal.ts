/**
 * The journal of one link: every change to the host is written here before it is made, with what
 * is needed to take it back, so that a crash at any point leaves nothing that nobody knows of.
 *
 * Each journal is kept twice (`<link>.json`, `<link>.copy`), written one after the other, because
 * a power cut may leave one of them empty or cut. A journal that cannot be read at all is set aside
 * as `<link>.damaged`; what it described is then found by the mark on the devices.
 * @module
 */
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../errors.ts';
import type { AnyRequest } from '../host/snapshot.ts';
import { type AnySpec, isAnySpec } from '../store/link-spec.ts';
import {
  putAside,
  type RunDirectory,
  readIfThere,
  replaceFile,
  syncDirectory,
} from '../store/run-directory.ts';
import { type Change, isChange } from './change.ts';
import type { Memo } from './kinds/memo.ts';

export const JOURNAL_VERSION = 1;
const LINK_NAME = /^[a-z0-9_][a-z0-9_.-]{0,14}$/;

export type JournalEntry = {
  change: Change;
  /** `doing` is written before the change, `done` after it. */
  state: 'planned' | 'doing' | 'done';
  memo: Memo;
};

export type Journal = {
  version: typeof JOURNAL_VERSION;
  request: AnyRequest;
  spec: AnySpec;
  entries: JournalEntry[];
};

/** What was found for one link when the directory was read; `problem` says why there is none. */
export type FoundJournal =
  | { name: string; journal: Journal; problem?: undefined }
  | { name: string; journal: undefined; problem: string };

/** The beginning of a sentence about a journal that cannot be used. */
export function damaged(name: string, problem: string): string {
  return `the journal of ${name} is damaged (${problem})`;
}

/** All journals of a run directory. */
export class JournalStore {
  readonly #directory: string;

  constructor(run: RunDirectory) {
    this.#directory = run.journals;
  }

  #path(name: string, suffix: 'json' | 'copy' | 'damaged'): string {
    // The name becomes part of a path: nothing that was not checked gets here.
    if (!LINK_NAME.test(name)) throw new RangeError(`${JSON.stringify(name)} is no link name`);
    return join(this.#directory, `${name}.${suffix}`);
  }

  /** Writes both copies, durably. Each is whole at any moment, the old one or the new one. */
  write(journal: Journal): void {
    const text = `${JSON.stringify(journal)}\n`;
    replaceFile(this.#path(journal.spec.name, 'json'), text);
    replaceFile(this.#path(journal.spec.name, 'copy'), text);
    syncDirectory(this.#directory);
  }

  /** Forgets a link whose changes were all undone. */
  remove(name: string): void {
    for (const suffix of ['json', 'copy'] as const) {
      rmSync(this.#path(name, suffix), { force: true, recursive: true });
    }
    syncDirectory(this.#directory);
  }

  /** Every link there is a journal of. Damaged ones are set aside and reported without content. */
  readAll(): FoundJournal[] {
    const names = new Set<string>();
    let files: string[];
    try {
      files = readdirSync(this.#directory);
    } catch {
      return [];
    }
    for (const file of files) {
      const match = /^(.+)\.(json|copy)$/.exec(file);
      if (match?.[1] !== undefined && LINK_NAME.test(match[1])) names.add(match[1]);
    }
    return [...names].sort().map((name) => this.#read(name));
  }

  #read(name: string): FoundJournal {
    let problem = '';
    for (const suffix of ['json', 'copy'] as const) {
      try {
        const text = readIfThere(this.#path(name, suffix));
        if (text === undefined) continue;
        const journal = parseJournal(text);
        if (journal !== undefined && journal.spec.name === name) return { name, journal };
        problem ||= 'it is cut, damaged, or of another version';
      } catch (error) {
        problem ||= messageOf(error);
      }
    }
    return { name, journal: undefined, problem };
  }

  /** Puts a journal that cannot be read out of the way, and keeps it for whoever wants to look. */
  setAside(name: string): void {
    for (const suffix of ['copy', 'json'] as const) {
      const path = this.#path(name, suffix);
      const there = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
      if (there) putAside(path, this.#path(name, 'damaged'));
    }
    syncDirectory(this.#directory);
  }
}

/** A journal from its text, undefined when it is cut, damaged or of another version. */
export function parseJournal(text: string): Journal | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isJournal(value) ? value : undefined;
}

/** Whether it can be worked off: an entry that no handler takes would stop all that come after it. */
function isJournal(value: unknown): value is Journal {
  if (typeof value !== 'object' || value === null) return false;
  const journal = value as Partial<Journal>;
  return (
    journal.version === JOURNAL_VERSION &&
    typeof journal.request === 'object' &&
    journal.request !== null &&
    isAnySpec(journal.spec) &&
    Array.isArray(journal.entries) &&
    journal.entries.every(
      (entry) =>
        isChange(entry?.change) &&
        typeof entry.memo === 'object' &&
        entry.memo !== null &&
        ['planned', 'doing', 'done'].includes(entry.state),
    )
  );
}
