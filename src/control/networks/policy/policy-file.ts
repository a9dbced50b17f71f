/**
 * The rules and labels of a network that this host tells beside those of its configuration, over a restart
 * of the control process.
 * @module
 */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { formatMac, parseMac } from '../../../net/mac.ts';
import { type RunDirectory, readIfThere, writeAtomically } from '../../store/run-directory.ts';
import type { OwnReason, PolicyBook } from './policy-book.ts';

const VERSION = 1;
type Saved = { what: string; labels: string[]; reason: OwnReason };

function isSaved(value: unknown): value is Saved {
  const { what, labels, reason } = Object(value) as Record<string, unknown>;
  return (
    typeof what === 'string' &&
    (reason === 'given' || reason === 'carried') &&
    Array.isArray(labels) &&
    labels.every((label) => typeof label === 'string')
  );
}

export class PolicyFile {
  readonly #path: string;
  readonly #log: Log;

  constructor(run: RunDirectory, bridge: string, log: Log) {
    this.#path = join(run.networks, 'policy', `${bridge}.json`);
    this.#log = log;
  }

  /** Puts what a predecessor told into a book that is empty. */
  load(book: PolicyBook): void {
    try {
      const text = readIfThere(this.#path);
      if (text === undefined) return;
      const { version, rules, labels } = Object(JSON.parse(text)) as Record<string, unknown>;
      if (version !== VERSION || !Array.isArray(rules) || !Array.isArray(labels)) return;
      for (const { what, reason } of rules.filter(isSaved)) book.own.set(what, reason);
      for (const { what, labels: own, reason } of labels.filter(isSaved)) {
        book.ownLabels.set(parseMac(what), { labels: own, reason });
      }
    } catch (error) {
      this.#log.error('policy', `${this.#path}: ${messageOf(error)}: its rules are not in force`);
    }
  }

  save({ own, ownLabels }: PolicyBook): void {
    const rules = [...own].map(([what, reason]): Saved => ({ what, labels: [], reason }));
    const labels = [...ownLabels].map(
      ([mac, { labels, reason }]): Saved => ({ what: formatMac(mac), labels: [...labels], reason }),
    );
    const isOurs = ({ reason }: Saved): boolean => reason !== 'file';
    const saved = { version: VERSION, rules: rules.filter(isOurs), labels: labels.filter(isOurs) };
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeAtomically(this.#path, `${JSON.stringify(saved)}\n`);
    } catch (error) {
      // A full disk ends nothing.
      this.#log.error('policy', `a restart would not know the rules: ${messageOf(error)}`);
    }
  }

  /** The network is gone for good. */
  forget(): void {
    rmSync(this.#path, { force: true });
  }
}
