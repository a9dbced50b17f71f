/**
 * An unreliable wire between two hosts: a process in the middle namespace of a `wired` lab that
 * copies frames and loses, doubles, delays, reorders or damages some (kernel netem is not needed).
 *
 *     const lab = await Lab.create({ hosts: 2, middle: 'wired', underlayOffloads: false });
 *     const relay = await startRelay(lab, { seed: 7, impairment: { loss: 0.02 } });
 *
 * The underlay's offloads must be off: with them on, frames carry unfinished checksums and
 * super-packets, which no real wire does. Up to about 30,000 frames a second.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Lab, portName } from '../../src/demo/lab.ts';
import type { Impairment } from './impair.ts';

/** What the relay's process is started with; `ports` are ifindexes in the middle namespace. */
export type RelayStart = {
  ports: number[];
  seed: number;
  impairment?: Partial<Impairment>;
  log?: string;
};
/** Direction 0 is from host 0 to host 1, direction 1 the way back; absent = both. */
export type RelayChange = { direction?: 0 | 1; impairment: Partial<Impairment> };
/** Frames by direction. `failed` counts refused sends by errno name. */
export type RelayStatistics = {
  directions: {
    received: number;
    dropped: number;
    duplicated: number;
    flipped: number;
    sent: number;
    overflow: number;
    /** Bytes of the longest frame, Ethernet header included. */
    longest: number;
    failed: Record<string, number>;
  }[];
  held: number;
};

export type Relay = {
  /** Changes probabilities from here on; resolves when they are in force. */
  set(impairment: Partial<Impairment>, direction?: 0 | 1): Promise<void>;
  /** A partition: nothing passes, in one direction or both. */
  cut(direction?: 0 | 1): Promise<void>;
  stop(): Promise<RelayStatistics>;
};

/** The built file of a test program, from wherever the calling test was bundled to. */
export function testProgram(name: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) throw new Error(`${name} was not built with the tests`);
  }
}

/**
 * Starts the relay between hosts 0 and 1. `log` is a file that takes one JSON line for each frame
 * that did not pass unharmed.
 */
export async function startRelay(
  lab: Lab,
  options: { seed: number; impairment?: Partial<Impairment>; log?: string },
): Promise<Relay> {
  const ports = [];
  for (const host of [0, 1]) ports.push((await lab.middle.netlink.link(portName(host))).index);
  const start: RelayStart = { ...options, ports };
  const program = testProgram('netns/relay-main.js');
  const child = lab.middle.spawn(process.execPath, [program, JSON.stringify(start)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const nextLine = lineReader(child);
  await nextLine();
  const set = async (impairment: Partial<Impairment>, direction?: 0 | 1): Promise<void> => {
    const change: RelayChange = { impairment, ...(direction !== undefined && { direction }) };
    child.stdin?.write(`${JSON.stringify(change)}\n`);
    await nextLine();
  };
  return {
    set,
    cut: (direction) => set({ loss: 1 }, direction),
    stop: async () => {
      child.kill('SIGTERM');
      return JSON.parse(await nextLine()) as RelayStatistics;
    },
  };
}

/** Reads the child's standard output line by line; rejects when it ends instead. */
function lineReader(child: ChildProcess): () => Promise<string> {
  if (child.stdout === null) throw new Error('no standard output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => {
    const next = await lines.next();
    if (next.done === true) throw new Error('the relay ended');
    return next.value;
  };
}
