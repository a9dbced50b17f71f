/**
 * Settings of the host that stayed as a fan had set them, because others may rely on them: what they were
 * before is kept as long as they are so, or the next fan would take ours for the host's own.
 * @module
 */
import { rmSync } from 'node:fs';
import { hasFields } from './link-spec.ts';
import { type RunDirectory, readIfThere, writeAtomically } from './run-directory.ts';

const VERSION = 1;

/** `value`: what a fan set. `previous`: before that. `before`: who could have used it then (reliance.ts). */
export type LeftSetting = { value: string; previous: string; before?: string[] };

/** The record of one run directory; it goes with the machine's next start, as the settings do. */
export class LeftSettings {
  readonly #path: string;

  constructor(run: RunDirectory) {
    this.#path = run.left;
  }

  /** What is known of a setting that is `now`; one that somebody has set since is nobody's remainder. */
  get(key: string, now: string | null): LeftSetting | undefined {
    const found = this.#read()[key];
    if (found === undefined || found.value === now) return found;
    this.forget(key);
    return undefined;
  }

  keep(key: string, setting: LeftSetting): void {
    this.#write({ ...this.#read(), [key]: setting });
  }

  forget(key: string): void {
    const { [key]: found, ...rest } = this.#read();
    if (found !== undefined) this.#write(rest);
  }

  #write(settings: Readonly<Record<string, LeftSetting>>): void {
    if (Object.keys(settings).length === 0) rmSync(this.#path, { force: true });
    else writeAtomically(this.#path, `${JSON.stringify({ version: VERSION, settings })}\n`);
  }

  /** A record that cannot be read is none: the settings are then what the host has. */
  #read(): Record<string, LeftSetting> {
    try {
      return parse(readIfThere(this.#path)) ?? {};
    } catch {
      return {};
    }
  }
}

function parse(text: string | undefined): Record<string, LeftSetting> | undefined {
  if (text === undefined) return undefined;
  const record: unknown = JSON.parse(text);
  if (!hasFields(record, { version: 'number', settings: 'object' })) return undefined;
  const { version, settings } = record as { version: number; settings: object };
  const found: Record<string, LeftSetting> = {};
  if (version !== VERSION) return undefined;
  for (const [key, setting] of Object.entries(settings) as [string, unknown][]) {
    if (!hasFields(setting, { value: 'string', previous: 'string' })) continue;
    const { value, previous, before } = setting as LeftSetting;
    const names = Array.isArray(before) ? before.filter((one) => typeof one === 'string') : [];
    found[key] = { value, previous, ...(Array.isArray(before) && { before: names }) };
  }
  return found;
}
