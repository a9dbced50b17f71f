/**
 * The paths to peers as `status` shows them: what data processes have learned, put together.
 * @module
 */
import { damagesTrains, type PathStatus } from '../../api/status.ts';
import {
  compareHosts,
  formatHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { errnoName } from '../../sys/libc/libc.ts';
import type { TrainProof } from '../../table/links/path-limits.ts';
import { MTU_SOURCE_NAMES, type PathRecord, Segmentation } from '../../table/paths.ts';

const SEGMENTATION_NAMES = ['unknown', 'works', 'refused'] as const;

function timeText(ms: number): string {
  return ms === 0 ? '' : new Date(ms).toISOString();
}

/** One row of each peer from those of several processes: the smallest MTU, any refusal, all errors. */
export function joinPaths(records: readonly PathRecord[]): PathRecord[] {
  const byPeer = new Map<UnderlayAddress, PathRecord>();
  for (const record of records) {
    const known = byPeer.get(record.peer);
    byPeer.set(record.peer, known === undefined ? record : joined(known, record));
  }
  return [...byPeer.values()].sort((a, b) => compareHosts(a.peer, b.peer));
}

function joined(a: PathRecord, b: PathRecord): PathRecord {
  const mtu = b.mtu !== 0 && (a.mtu === 0 || b.mtu < a.mtu) ? b : a;
  const segmentation = b.segmentation > a.segmentation ? b : a;
  return {
    peer: a.peer,
    mtu: mtu.mtu,
    mtuSource: mtu.mtuSource,
    mtuSinceMs: mtu.mtuSinceMs,
    segmentation: segmentation.segmentation,
    segmentErrno: segmentation.segmentErrno,
    refusedSinceMs: segmentation.refusedSinceMs,
    portUnreachable: a.portUnreachable + b.portUnreachable,
    portUnreachableAtMs: Math.max(a.portUnreachableAtMs, b.portUnreachableAtMs),
    largeAtMs: Math.max(a.largeAtMs, b.largeAtMs),
    usedAtMs: Math.max(a.usedAtMs, b.usedAtMs),
  };
}

const TRAIN_WORDS = ['whole', 'uneven', 'none'] as const;

/** A row for whoever asks for the status, with what tests have shown of trains. */
export function pathStatus(record: PathRecord, proof?: TrainProof): PathStatus {
  const refused = record.segmentation === Segmentation.Refused;
  return {
    peer: formatHostAddress(record.peer),
    mtu: record.mtu,
    mtuFrom: MTU_SOURCE_NAMES[record.mtuSource] ?? '',
    mtuSince: record.mtu === 0 ? '' : timeText(record.mtuSinceMs),
    segmentation: SEGMENTATION_NAMES[record.segmentation] ?? 'unknown',
    segmentationError: refused ? errnoName(record.segmentErrno) : '',
    segmentationSince: refused ? timeText(record.refusedSinceMs) : '',
    trains: proof === undefined ? 'untested' : (TRAIN_WORDS[proof.use] ?? 'untested'),
    trainsSince: proof === undefined ? '' : timeText(proof.sinceMs),
    portUnreachable: record.portUnreachable,
    portUnreachableAt: timeText(record.portUnreachableAtMs),
  };
}

/** Rows of all paths. */
export function pathStatuses(
  records: readonly PathRecord[],
  trains: { of(peer: UnderlayAddress): TrainProof | undefined },
): PathStatus[] {
  return records.map((record) => pathStatus(record, trains.of(record.peer)));
}

/** Whether a path is another one than its device promises. */
export function isPathNews(path: PathStatus): boolean {
  const { mtu, segmentation, portUnreachable } = path;
  return mtu !== 0 || segmentation === 'refused' || damagesTrains(path) || portUnreachable > 0;
}

/**
 * What of a link's offloads is in force: `udp-segment` is not where every path that was tried with
 * a train refused it.
 */
export function offloadsInForce(
  offloads: readonly string[],
  paths: readonly PathStatus[],
): string[] {
  const refused =
    paths.some(({ segmentation }) => segmentation === 'refused') &&
    !paths.some(({ segmentation }) => segmentation === 'works');
  return [...new Set(offloads)].filter((name) => name !== 'udp-segment' || !refused);
}
