/**
 * Which ports belong to a fan's bridge: the one owner of that question. Containers are ports of the
 * bridge that nobody but their engine knows how to make again, so what was seen is written down, a
 * port that lost its bridge is put back, and a bridge with ports on it is never deleted.
 *
 * One file for each bridge (`journal/<bridge>.ports`), which outlives the fan's journal as long as
 * ports or the bridge are left.
 * @module
 */

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { hasFields } from '../../store/link-spec.ts';
import {
  putAside,
  type RunDirectory,
  readIfThere,
  writeAtomically,
} from '../../store/run-directory.ts';
import type { Host } from '../host.ts';
import { aliasOf, portsBeside, type SnapshotLink } from '../snapshot.ts';

const RECORD_VERSION = 1;
const RECORD_NAME = /^([a-z0-9_][a-z0-9_.-]{0,14})\.ports$/;
/** Ports written down; a bridge of Linux has room for 1,024. */
const PORTS_MAX = 1024;
/**
 * Somebody who pulls a port off again and again gets it after this many times within
 * {@link CONTEST_MS}: two programs that undo each other would go on for ever.
 */
const PUT_BACK_MAX = 5;
const CONTEST_MS = 60_000;
/** Ports named in one sentence. */
const SHOWN_MAX = 8;

/** A port by interface index and name: an index alone may be used again. */
export type PortMark = { index: number; name: string };

/** The records of one run directory. */
export class PortRecords {
  readonly #directory: string;

  constructor(run: RunDirectory) {
    this.#directory = run.journals;
  }

  #path(bridge: string): string {
    const file = `${bridge}.ports`;
    if (!RECORD_NAME.test(file)) throw new RangeError(`${JSON.stringify(bridge)} is no bridge`);
    return join(this.#directory, file);
  }

  /** Bridges of which there is a record. */
  names(): string[] {
    let files: string[];
    try {
      files = readdirSync(this.#directory);
    } catch {
      return [];
    }
    return files.flatMap((file) => RECORD_NAME.exec(file)?.[1] ?? []);
  }

  /** The ports of a bridge as last written; a record that cannot be read is set aside. */
  read(bridge: string): PortMark[] {
    try {
      const text = readIfThere(this.#path(bridge));
      if (text === undefined) return [];
      const ports = parsePorts(text);
      if (ports !== undefined) return ports;
    } catch {
      // Whatever stands there is none of ours, and is treated like a damaged one.
    }
    putAside(this.#path(bridge));
    return [];
  }

  write(bridge: string, ports: readonly PortMark[]): void {
    const record = { version: RECORD_VERSION, ports: ports.slice(0, PORTS_MAX) };
    writeAtomically(this.#path(bridge), `${JSON.stringify(record)}\n`);
  }

  forget(bridge: string): void {
    rmSync(this.#path(bridge), { force: true, recursive: true });
  }

  /** The bridge has another name now; what is known under both names counts. */
  rename(from: string, to: string): void {
    if (from === to) return;
    this.write(to, [...this.read(to), ...this.read(from)]);
    this.forget(from);
  }
}

function parsePorts(text: string): PortMark[] | undefined {
  try {
    const { version, ports } = JSON.parse(text) as { version?: unknown; ports?: unknown };
    if (version !== RECORD_VERSION || !Array.isArray(ports)) return undefined;
    const fields = { index: 'number', name: 'string' };
    return ports.every((port) => hasFields(port, fields)) ? (ports as PortMark[]) : undefined;
  } catch {
    return undefined;
  }
}

type Comparison = {
  attached: PortMark[];
  /** Known ports that are up and without any bridge; who takes one off on purpose puts it down. */
  pulled: PortMark[];
  /** Known ports that sit on something else now. */
  elsewhere: (PortMark & { master: string })[];
};

/** Where the known ports of a bridge are now, and which others it has. `bridge` may be gone. */
export function comparePorts(
  known: readonly PortMark[],
  bridge: SnapshotLink | undefined,
  links: readonly SnapshotLink[],
): Comparison {
  const result: Comparison = { attached: [], pulled: [], elsewhere: [] };
  if (bridge !== undefined) {
    const ports = portsBeside(bridge, links);
    result.attached.push(...ports.map(({ index, name }) => ({ index, name })));
  }
  for (const { index, name } of known) {
    // Another namespace, another name, or gone: not a port that anybody misses here.
    const link = links.find((link) => link.index === index && link.name === name);
    if (link === undefined || (bridge !== undefined && link.master === bridge.index)) continue;
    const master = links.find((other) => other.index === link.master);
    if (link.master === 0) {
      if (link.up) result.pulled.push({ index, name });
    } else result.elsewhere.push({ index, name, master: master?.name ?? `link ${link.master}` });
  }
  return result;
}

/** `vca, vcb and 3 more`. */
export function namesOf(ports: readonly { name: string }[]): string {
  const names = ports.slice(0, SHOWN_MAX).map(({ name }) => name);
  const more = ports.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** The ports of one link's bridge while the link lives. */
export class BridgePorts {
  readonly #records: PortRecords;
  #bridge = '';
  #known: PortMark[] = [];
  #lost: PortMark[] = [];
  /** When each port was put back lately, ms. */
  readonly #putBackMs = new Map<number, number[]>();

  constructor(records: PortRecords) {
    this.#records = records;
  }

  /** Ports that have lost the bridge and could not be put back. */
  get lost(): readonly PortMark[] {
    return this.#lost;
  }

  /** Reads what was known of a bridge, once; another name is that of the same bridge, renamed. */
  #load(bridge: string): void {
    if (bridge === this.#bridge) return;
    this.#bridge = bridge;
    this.#known = this.#records.read(bridge);
  }

  #remember(ports: PortMark[]): void {
    if (isDeepStrictEqual(ports, this.#known)) return;
    this.#known = ports;
    if (ports.length === 0) this.#records.forget(this.#bridge);
    else this.#records.write(this.#bridge, ports);
  }

  /** Takes over what is known of a bridge that was renamed. */
  renamed(from: string, to: string): void {
    this.#records.rename(from, to);
    this.#bridge = '';
  }

  /**
   * Writes down what is on the bridge, and puts back what has lost it. A port that sits on another
   * bridge was moved on purpose: it is named once and left.
   */
  async mend(bridge: string, host: Host, log: Log, nowMs: number): Promise<void> {
    this.#load(bridge);
    const links = await host.links();
    const link = links.find(({ name, kind }) => name === bridge && kind === 'bridge');
    const { attached, pulled, elsewhere } = comparePorts(this.#known, link, links);
    for (const { name, master } of elsewhere) {
      log.warn('port', `${name} sits on ${master} now, no more on ${bridge}: left there`);
    }
    const before = this.#lost;
    this.#lost = [];
    const back: PortMark[] = [];
    for (const port of pulled) {
      const problem = await this.#putBack(port, link, host, nowMs);
      if (problem === undefined) back.push(port);
      else if (problem !== '') {
        this.#lost.push(port);
        const isNews = !before.some(({ index }) => index === port.index);
        if (isNews) log.warn('port', `${port.name} has lost ${bridge}: ${problem}`);
      }
    }
    if (back.length > 0) log.warn('port', `put back on ${bridge}: ${namesOf(back)}`);
    const order = (a: PortMark, b: PortMark): number => a.index - b.index;
    this.#remember([...attached, ...back, ...this.#lost].sort(order));
  }

  /** @returns undefined when it is a port again, '' when it is gone, else why not. */
  async #putBack(
    port: PortMark,
    bridge: SnapshotLink | undefined,
    host: Host,
    nowMs: number,
  ): Promise<string | undefined> {
    if (bridge === undefined) return 'the bridge is gone';
    const recent = (this.#putBackMs.get(port.index) ?? []).filter((at) => nowMs - at < CONTEST_MS);
    if (recent.length >= PUT_BACK_MAX) {
      return `somebody pulls it off again and again (${recent.length} times within a minute): find out who, or put it back yourself (ip link set ${port.name} master ${bridge.name})`;
    }
    this.#putBackMs.set(port.index, [...recent, nowMs]);
    try {
      await host.setLink(port.index, { master: bridge.index });
      return undefined;
    } catch (error) {
      const still = (await host.links()).some(({ index }) => index === port.index);
      return still ? messageOf(error) : '';
    }
  }

  /** Writes down what is on the bridge before it may go. */
  async note(bridge: string, host: Host): Promise<void> {
    this.#load(bridge);
    const links = await host.links();
    const link = links.find(({ name, kind }) => name === bridge && kind === 'bridge');
    const { attached, pulled } = comparePorts(this.#known, link, links);
    this.#remember([...attached, ...pulled]);
    this.#lost = [];
  }
}

/**
 * Deletes bridges that were kept for their ports, once the last of these has gone, and forgets
 * what has gone by itself. `claimed`: names of bridges that have a link, which looks after them.
 * @returns the names of those that were deleted
 */
export async function tidyBridges(
  records: PortRecords,
  claimed: readonly string[],
  host: Host,
): Promise<string[]> {
  const unclaimed = records.names().filter((name) => !claimed.includes(name));
  const deleted: string[] = [];
  if (unclaimed.length === 0) return deleted;
  const links = await host.links();
  for (const name of unclaimed) {
    const ours = (link: SnapshotLink): boolean =>
      link.name === name && link.kind === 'bridge' && link.alias === aliasOf(name);
    const bridge = links.find(ours);
    const { attached, pulled } = comparePorts(records.read(name), bridge, links);
    if (attached.length > 0 || (bridge === undefined && pulled.length > 0)) continue;
    if (bridge !== undefined && links.some((link) => link.alias === bridge.alias && !ours(link))) {
      // Its tunnel is there: a router with another run directory has taken it over.
      records.forget(name);
      continue;
    }
    if (bridge !== undefined) {
      await host.deleteLink(bridge.index);
      deleted.push(name);
    }
    records.forget(name);
  }
  return deleted;
}
