/**
 * Where the peers of links with several underlays are on each beside the first, as far as they say so
 * themselves; who is not here is at the host bits that it has on the first. All links together.
 *
 * A peer is named by the last word of its address on the link's first underlay.
 * @module
 */
import { GroupedRowsReader, GroupedRowsWriter } from '../../shm/grouped-rows.ts';
import { HOMES_MAX, type TableSegment } from '../segment.ts';

/** No underlay has a host at this. */
export const NOWHERE = 0;

/** `word`: the last one of the address there; {@link NOWHERE} = it is not there just now. */
export type Home = { underlay: number; peer: number; word: number };

/** A data process: looked up for each packet, read again when control has written. */
export class HomeReader {
  readonly #link: number;
  readonly #rows: GroupedRowsReader;
  #version = -1;
  /** For each underlay, by signed words: maps of small integers allocate nothing. */
  #words: readonly Map<number, number>[] = [];
  #peers: readonly Map<number, number>[] = [];
  #isEmpty = true;

  /** @param underlays of the link */
  constructor(segment: TableSegment, link: number, underlays: number) {
    const { buffer, offset } = segment.homes;
    this.#rows = new GroupedRowsReader(buffer, offset, HOMES_MAX);
    this.#link = link;
    this.#words = Array.from({ length: underlays }, () => new Map());
    this.#peers = Array.from({ length: underlays }, () => new Map());
  }

  #refresh(): void {
    if (this.#rows.version === this.#version) return;
    const read = this.#rows.read(this.#link);
    // Control was stopped while it wrote: what we have holds.
    if (read === undefined) return;
    this.#version = read.version;
    this.#isEmpty = read.rows.length === 0;
    for (const map of [...this.#words, ...this.#peers]) map.clear();
    for (const [underlay, peer, word] of read.rows) {
      this.#words[underlay]?.set(peer | 0, word | 0);
      if (word !== NOWHERE) this.#peers[underlay]?.set(word | 0, peer | 0);
    }
  }

  /** The last word of the peer's address on an underlay, u32; `usual` where it does not say. */
  wordOf(underlay: number, peer: number, usual: number): number {
    this.#refresh();
    if (this.#isEmpty) return usual;
    const word = this.#words[underlay]?.get(peer | 0);
    return word === undefined ? usual : word >>> 0;
  }

  /** Who is at `word` on an underlay; `usual`, who would be there by arithmetic; −1 = nobody. */
  peerAt(underlay: number, word: number, usual: number): number {
    this.#refresh();
    if (this.#isEmpty) return usual;
    const peer = this.#peers[underlay]?.get(word | 0);
    if (peer !== undefined) return peer >>> 0;
    // Who says that it is elsewhere is not here.
    return this.#words[underlay]?.has(usual | 0) === true ? -1 : usual;
  }
}

/** Control: the one writer. */
export class HomeWriter {
  readonly #rows: GroupedRowsWriter;

  constructor(segment: TableSegment) {
    const { buffer, offset } = segment.homes;
    this.#rows = new GroupedRowsWriter(buffer, offset, HOMES_MAX);
  }

  /** Makes the homes of a link's peers these; how many found no room. */
  replace(link: number, homes: readonly Home[]): number {
    return this.#rows.replace(
      link,
      homes.map(({ underlay, peer, word }) => [underlay, peer, word]),
    );
  }

  /** The link has gone. */
  clear(link: number): void {
    this.#rows.replace(link, []);
  }
}
