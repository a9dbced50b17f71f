/**
 * Addresses that are another MAC's now: stations here that remember the one before are told by a gratuitous
 * ARP, so that their caches follow.
 * @module
 */
import type { RibChange } from '../../rib/entry.ts';
import type { LocalNetwork } from './local/local-network.ts';
import { announcementOf } from './search/questions.ts';

/** Caches that are told of another MAC of an address, in one round. */
const TOLD_MAX = 256;

export class Told {
  readonly #send: (port: number, frame: Uint8Array) => void;
  /** Frames by link and address. */
  readonly #frames = new Map<string, { local: LocalNetwork; frame: Uint8Array }>();

  /** @param send a frame out of a port, by its ifindex */
  constructor(send: (port: number, frame: Uint8Array) => void) {
    this.#send = send;
  }

  /** An address has changed: what local stations remember is wrong where its MAC is another one. */
  note(local: LocalNetwork, { id, before, after }: RibChange): void {
    if (id.kind !== 'mac+ip' || before === undefined || after === undefined) return;
    if (before.mac === after.mac || typeof id.address !== 'number') return;
    if (this.#frames.size >= TOLD_MAX) return;
    const frame = announcementOf(after.mac, id.address, local.spec.mac);
    this.#frames.set(`${id.address} ${id.link}`, { local, frame });
  }

  round(): void {
    for (const { local, frame } of this.#frames.values()) {
      for (const port of local.stations.ports()) {
        if (port !== local.bridge) this.#send(port, frame);
      }
    }
    this.#frames.clear();
  }
}
