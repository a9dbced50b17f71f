/**
 * The figures that the gossip channel is held to, each measured in virtual time from a seed.
 * @module
 */
import type { EntryEvent, MemberChange } from '../../src/gossip/base/api.ts';
import { Fabric, type FabricOptions } from './fabric.ts';
import type { Host, Watcher } from './host.ts';
import { itemOf, keyOf } from './items.ts';
import { Random } from './random.ts';
import { CLEAN, type Conditions } from './wire.ts';

/** A tenth of all datagrams lost, some doubled and overtaken. */
export const LOSSY: Conditions = {
  ...CLEAN,
  lossShare: 0.1,
  duplicateShare: 0.02,
  reorderShare: 0.05,
  reorderMs: 50,
  delayMostMs: 5,
};

export type Size = { seed: number; nodes: number };

/** How long a cluster may take to come together before anything is measured. */
const SETTLE_MS = 120_000;
const HOUR_MS = 3_600_000;

/** Calls back for what happens on any node; the rest goes unheard. */
function watching(handlers: Partial<Watcher>): Watcher {
  return { member: () => {}, entry: () => {}, conflict: () => {}, ...handlers };
}

/** A cluster in which everybody knows everybody. @throws Error when that does not come about */
function settled(options: FabricOptions): Fabric {
  const fabric = new Fabric(options);
  fabric.startAll(1000);
  if (fabric.runUntil(() => fabric.isWhole && fabric.isEqual, SETTLE_MS) === undefined) {
    throw new Error(`seed ${options.seed}: no whole cluster in ${SETTLE_MS / 1000} s`);
  }
  fabric.runFor(20_000);
  return fabric;
}

/** The value that a share of all values does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/**
 * New entries on random nodes: how long each takes until the last node has it, in milliseconds;
 * Infinity for one that did not get everywhere within 30 s.
 */
export function entryDelaysMs(size: Size, count: number, conditions = CLEAN): number[] {
  const fabric = settled({ ...size, conditions });
  const random = new Random(size.seed + 1);
  const born = new Map<string, { atMs: number; seen: Set<Host>; delayMs: number }>();
  const entry = (host: Host, { type, item }: EntryEvent) => {
    const one = born.get(keyOf(item));
    if (one === undefined || type !== 'set') return;
    one.seen.add(host);
    if (one.seen.size === size.nodes) one.delayMs = fabric.nowMs - one.atMs;
  };
  fabric.watcher = watching({ entry });
  for (let number = 0; number < count; number += 1) {
    fabric.runFor(random.between(50, 350));
    const delayMs = Number.POSITIVE_INFINITY;
    born.set(keyOf(itemOf(number)), { atMs: fabric.nowMs, seen: new Set(), delayMs });
    fabric.host(random.below(size.nodes)).act((node) => node.announce(itemOf(number)));
  }
  fabric.runFor(30_000);
  return [...born.values()].map(({ delayMs }) => delayMs);
}

/** Milliseconds until all others say `state` of a host after `act`, for several in turn. */
function goneDelaysMs(
  size: Size,
  count: number,
  state: 'dead' | 'left',
  act: (fabric: Fabric, host: Host) => void,
): number[] {
  const fabric = settled({ ...size });
  const random = new Random(size.seed + 2);
  return Array.from({ length: count }, () => {
    const gone = fabric.host(random.below(size.nodes));
    const knowing = new Set<Host>();
    const member = (host: Host, { node, to }: MemberChange) => {
      if (node !== gone.identity.id || host === gone) return;
      if (to === state) knowing.add(host);
      else knowing.delete(host);
    };
    fabric.watcher = watching({ member });
    act(fabric, gone);
    const tookMs = fabric.runUntil(() => knowing.size === size.nodes - 1, 60_000, 10);
    if (gone.isRunning) fabric.runFor(5_000);
    fabric.start(gone);
    fabric.runFor(20_000);
    return tookMs ?? Number.POSITIVE_INFINITY;
  });
}

/** Nodes that are killed: how long until the last other one knows, ms each. */
export function deathDelaysMs(size: Size, count: number): number[] {
  return goneDelaysMs(size, count, 'dead', (fabric, host) => fabric.kill(host));
}

/** Nodes that leave: how long until the last other one knows, ms each. */
export function leaveDelaysMs(size: Size, count: number): number[] {
  return goneDelaysMs(size, count, 'left', (fabric, host) => fabric.leave(host, 1000));
}

/** Bytes a second that a node sends while nothing happens, all headers included; the highest. */
export function idleBytesPerSecond(size: Size, durationMs: number): number {
  const fabric = settled({ ...size, sealed: true });
  const before = fabric.wire.sent.map(({ bytes }) => bytes);
  fabric.runFor(durationMs);
  const sent = fabric.wire.sent.map(({ bytes }, i) => bytes - (before[i] ?? 0));
  return Math.max(...sent) / (durationMs / 1000);
}

export type FalseDeaths = {
  /** Nodes that were running and reachable all the time, and held for dead. */
  healthy: number;
  /** The same of those that got a tenth of a processor. */
  slow: number;
  suspicions: number;
};

/** Counts how often any node holds another for dead although all are up, in `durationMs`. */
export function falseDeaths(
  size: Size,
  durationMs: number,
  { conditions = CLEAN, slow = 0 }: { conditions?: Conditions; slow?: number },
): FalseDeaths {
  const fabric = settled({ ...size, conditions });
  const slowed = new Set(fabric.hosts.slice(0, slow).map(({ identity }) => identity.id));
  const counts = { healthy: 0, slow: 0, suspicions: 0 };
  const member = (_host: Host, { node, to }: MemberChange) => {
    if (to === 'suspect') counts.suspicions += 1;
    if (to === 'dead') counts[slowed.has(node) ? 'slow' : 'healthy'] += 1;
  };
  fabric.watcher = watching({ member });
  for (const host of fabric.hosts.slice(0, slow)) fabric.slowDown(host, 0.1);
  fabric.runFor(durationMs);
  return counts;
}

export type Healing = {
  /** From the healing until everybody knows everybody, ms; Infinity when not within 2 minutes. */
  wholeMs: number;
  /** And until all tables are equal. */
  equalMs: number;
  /** Entries that had been withdrawn on one side and were there again after. */
  cameBack: number;
};

/** Halves that do not hear each other for `durationMs`, while entries come and go on both sides. */
export function healing(size: Size, durationMs: number): Healing {
  const fabric = settled({ ...size });
  const each = 20;
  const announce = (from: number) => {
    for (const [i, host] of fabric.hosts.entries()) {
      const first = from + i * each;
      host.act((node) => {
        for (let number = first; number < first + each; number += 1) node.announce(itemOf(number));
      });
    }
  };
  announce(0);
  fabric.runUntil(() => fabric.isEqual, SETTLE_MS);
  const half = size.nodes / 2;
  fabric.cut('halves', (from, to) => from < half !== to < half);
  fabric.runFor(durationMs / 2);
  const withdrawn = new Set<string>();
  for (const [i, host] of fabric.hosts.entries()) {
    host.act((node) => {
      for (let number = i * each; number < i * each + each / 2; number += 1) {
        withdrawn.add(keyOf(itemOf(number)));
        node.withdraw(itemOf(number));
      }
    });
  }
  announce(100_000);
  fabric.runFor(durationMs / 2);
  fabric.healAll();
  const healedMs = fabric.nowMs;
  const passed = (tookMs: number | undefined) =>
    tookMs === undefined ? Number.POSITIVE_INFINITY : fabric.nowMs - healedMs;
  const wholeMs = passed(fabric.runUntil(() => fabric.isWhole, 120_000));
  const equalMs = passed(fabric.runUntil(() => fabric.isWhole && fabric.isEqual, 120_000));
  fabric.runFor(60_000);
  const cameBack = fabric.running.reduce(
    (sum, { node }) =>
      sum + (node?.entries() ?? []).filter(({ item }) => withdrawn.has(keyOf(item))).length,
    0,
  );
  return { wholeMs, equalMs, cameBack };
}

/** Two virtual hours of partition. */
export const LONG_PARTITION_MS = 2 * HOUR_MS;

/** `entries` in all, announced at once on all nodes: until every node has all, ms. */
export function convergenceMs(size: Size, entries: number): number {
  const fabric = settled({ ...size });
  const each = Math.ceil(entries / size.nodes);
  let seen = 0;
  const entry = (_host: Host, { type, before }: EntryEvent & { before?: string | undefined }) => {
    if (type === 'set' && before === undefined) seen += 1;
  };
  fabric.watcher = watching({ entry });
  for (const [i, host] of fabric.hosts.entries()) {
    host.act((node) => {
      for (let number = i * each; number < (i + 1) * each; number += 1) {
        node.announce(itemOf(number));
      }
    });
  }
  const all = each * size.nodes * size.nodes;
  const isThere = () => seen >= all && fabric.isEqual;
  return fabric.runUntil(isThere, 600_000) ?? Number.POSITIVE_INFINITY;
}

/** All nodes start within a second: until everybody knows everybody and tables are equal, ms. */
export function startMs(size: Size): number {
  const fabric = new Fabric({ ...size, sealed: true });
  fabric.startAll(1000);
  fabric.runFor(1000);
  const tookMs = fabric.runUntil(() => fabric.isWhole && fabric.isEqual, 120_000);
  return tookMs === undefined ? Number.POSITIVE_INFINITY : tookMs + 1000;
}

/** Real processor time that an idle node takes, as a share of one core. */
export function idleProcessorShare(size: Size, durationMs: number): number {
  const fabric = settled({ ...size, keys: 'ed25519', sealed: true });
  const before = process.cpuUsage();
  fabric.runFor(durationMs);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / durationMs / size.nodes;
}
