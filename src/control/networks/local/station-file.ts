/**
 * The stations of a network over a restart of the control process: which MAC was behind which port, with
 * its addresses. What the file says is asked before it is kept: a port is the same one by index and name,
 * and a station that does not answer goes as any other that is silent.
 * @module
 */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { formatMac, parseMac } from '../../../net/mac.ts';
import {
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { type RunDirectory, readIfThere, writeAtomically } from '../../store/run-directory.ts';
import type { Station } from './stations.ts';

const VERSION = 1;
/** A burst of changes is written once. */
const DELAY_MS = 500;

export type SavedStation = {
  mac: number;
  port: number;
  name: string;
  addresses: UnderlayAddress[];
};

type Saved = { mac: string; port: number; name: string; addresses: string[] };

function isSaved(value: unknown): value is Saved {
  const { mac, port, name, addresses } = Object(value) as Record<string, unknown>;
  return (
    typeof mac === 'string' &&
    typeof port === 'number' &&
    typeof name === 'string' &&
    Array.isArray(addresses) &&
    addresses.every((each) => typeof each === 'string')
  );
}

export class StationFile {
  readonly #path: string;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #save: () => void = () => undefined;

  constructor(run: RunDirectory, bridge: string, log: Log) {
    this.#path = join(run.networks, `${bridge}.json`);
    this.#log = log;
  }

  /** What a predecessor knew; nothing where it cannot be read. */
  load(): SavedStation[] {
    try {
      const text = readIfThere(this.#path);
      if (text === undefined) return [];
      const { version, stations } = Object(JSON.parse(text)) as Record<string, unknown>;
      if (version !== VERSION || !Array.isArray(stations)) return [];
      return stations.filter(isSaved).map(({ mac, port, name, addresses }) => {
        return { mac: parseMac(mac), port, name, addresses: addresses.map(parseHostAddress) };
      });
    } catch (error) {
      this.#log.warn('networks', `${this.#path}: ${messageOf(error)}: stations are learned anew`);
      return [];
    }
  }

  /** They are others now; `nameOf` says what a port is called. */
  changed(stations: () => Iterable<Station>, nameOf: (port: number) => string): void {
    this.#save = () => this.#write([...stations()], nameOf);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#save();
    }, DELAY_MS);
  }

  #write(stations: readonly Station[], nameOf: (port: number) => string): void {
    const saved = stations.map(({ mac, port, addresses }): Saved => {
      const texts = [...addresses.values()].map(formatHostAddress);
      return { mac: formatMac(mac), port, name: nameOf(port), addresses: texts };
    });
    try {
      mkdirSync(join(this.#path, '..'), { recursive: true, mode: 0o700 });
      writeAtomically(this.#path, `${JSON.stringify({ version: VERSION, stations: saved })}\n`);
    } catch (error) {
      // A full disk ends nothing.
      this.#log.error('networks', `a restart would not know the stations: ${messageOf(error)}`);
    }
  }

  /** What is true now is written down, and stays. */
  keep(): void {
    this.stop();
    this.#save();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The network is gone for good. */
  forget(): void {
    this.stop();
    rmSync(this.#path, { force: true });
  }
}
