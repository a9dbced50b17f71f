/**
 * Where a layer-2 network's floods go: the peers that get a copy each, and the one peer that has what
 * clients look for by broadcast. A block for each link, in words:
 *
 * ```
 * 0 … 7     high     places below which peers stand; then one word for each service
 * 8 …       targets  1,024 peer indexes, 0 = vacant
 * ```
 *
 * A target keeps its place while it is there, so that a reader in the middle of a change meets no other
 * one twice, nor misses it.
 * @module
 */
import { FLOOD_BLOCK_BYTES, FLOOD_TARGETS_MAX, type TableSegment } from './segment.ts';

/** What clients look for by broadcast, and is carried to one peer instead. */
export const Service = {
  /** Messages of DHCP clients. */
  Dhcp: 0,
  /** Router solicitations (RFC 4861 §4.1). */
  Router: 1,
} as const;
export type Service = (typeof Service)[keyof typeof Service];

/** In place of a peer's index: the service is at our own bridge, which has delivered the message. */
export const SERVICE_HERE = 0xffff;

const BLOCK_WORDS = FLOOD_BLOCK_BYTES / 4;
const HIGH = 0;
const SERVICES = 1;
const TARGETS = 8;

export class FloodReader {
  protected readonly words: Int32Array;

  constructor(segment: TableSegment) {
    const { buffer, offset, links } = segment.flood;
    this.words = new Int32Array(buffer, offset, links * BLOCK_WORDS);
  }

  /** Places of a link to look at, from 0. */
  high(link: number): number {
    return this.words[link * BLOCK_WORDS + HIGH] as number;
  }

  /** The peer at a place, 0 when it is vacant. */
  target(link: number, place: number): number {
    return this.words[link * BLOCK_WORDS + TARGETS + place] as number;
  }

  /** Every target of a link. */
  *targets(link: number): Generator<number> {
    for (let place = this.high(link) - 1; place >= 0; place--) {
      const peer = this.target(link, place);
      if (peer !== 0) yield peer;
    }
  }

  /** The peer that has a service, {@link SERVICE_HERE}, or 0 when nobody is known to have it. */
  service(link: number, service: Service): number {
    return this.words[link * BLOCK_WORDS + SERVICES + service] as number;
  }
}

/** Control: the one writer. */
export class FloodWriter extends FloodReader {
  /** Targets that found no room so far. */
  overflows = 0;

  /** Targets of a link. */
  count(link: number): number {
    let count = 0;
    for (let place = this.high(link) - 1; place >= 0; place--) {
      if (this.target(link, place) !== 0) count++;
    }
    return count;
  }

  /** The peer gets copies from now on. False, and nothing has changed, when there is no room. */
  add(link: number, peer: number): boolean {
    let vacant = -1;
    const high = this.high(link);
    for (let place = 0; place < high; place++) {
      const target = this.target(link, place);
      if (target === peer) return true;
      if (target === 0 && vacant < 0) vacant = place;
    }
    if (vacant < 0) vacant = high;
    if (vacant >= FLOOD_TARGETS_MAX) {
      this.overflows++;
      return false;
    }
    Atomics.store(this.words, link * BLOCK_WORDS + TARGETS + vacant, peer);
    if (vacant === high) Atomics.store(this.words, link * BLOCK_WORDS + HIGH, high + 1);
    return true;
  }

  /** It gets none any more; false when it got none before. */
  delete(link: number, peer: number): boolean {
    let high = this.high(link);
    for (let place = 0; place < high; place++) {
      if (this.target(link, place) !== peer) continue;
      Atomics.store(this.words, link * BLOCK_WORDS + TARGETS + place, 0);
      while (high > 0 && this.target(link, high - 1) === 0) high--;
      Atomics.store(this.words, link * BLOCK_WORDS + HIGH, high);
      return true;
    }
    return false;
  }

  /** Says who has a service: a peer's index, {@link SERVICE_HERE}, or 0 for nobody. */
  setService(link: number, service: Service, where: number): void {
    Atomics.store(this.words, link * BLOCK_WORDS + SERVICES + service, where);
  }

  /** Takes away all of a link, services too. */
  clear(link: number): void {
    for (const service of Object.values(Service)) this.setService(link, service, 0);
    const at = link * BLOCK_WORDS;
    const high = this.high(link);
    Atomics.store(this.words, at + HIGH, 0);
    this.words.fill(0, at + TARGETS, at + TARGETS + high);
  }
}
