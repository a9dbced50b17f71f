/**
 * Measurements that are not one figure a variant: each makes a table of its own, once a run, on a
 * scene that it builds itself.
 * @module
 */
import { battery } from './battery.ts';
import type { ExtraTable } from './results.ts';

export type Extra = {
  /** For `--only`. */
  key: string;
  /** Not part of `--quick`. */
  slow: boolean;
  /** @returns a sentence when this machine cannot. */
  run(): Promise<ExtraTable | string>;
};

export const extras: readonly Extra[] = [battery];
