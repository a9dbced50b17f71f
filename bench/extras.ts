/**
 * Measurements that do not fit two hosts with a variant between them: each runs once, on a scene
 * that it builds itself, and makes a table of its own or notes figures for the common ones.
 * @module
 */
import { battery } from './battery.ts';
import { bottleneck } from './bottleneck.ts';
import { churn } from './churn.ts';
import { evpn } from './evpn.ts';
import { gossip } from './gossip.ts';
import { underlaysGuest } from './guest.ts';
import { links } from './links.ts';
import { moves } from './moves.ts';
import type { ExtraTable } from './results.ts';
import { rootless } from './rootless.ts';
import { six } from './six.ts';
import { star } from './star.ts';
import { underlays } from './underlays.ts';

export type Note = (row: string, variant: string, value: number) => void;

export type Extra = {
  /** For `--only`. */
  key: string;
  /** Not part of `--quick`. */
  slow: boolean;
  /**
   * @param note takes a figure of a row by variant, to be shown and judged with the others.
   * @returns its table if it has one, or a sentence when this machine cannot.
   */
  run(note: Note): Promise<ExtraTable | string | undefined>;
};

export const extras: readonly Extra[] = [
  ...[star, battery, gossip, links, churn, moves, evpn, rootless, bottleneck, underlays, six],
  underlaysGuest,
];
