/**
 * Peers that are to be reached, and are only believed, at another address and port than their own: those
 * behind a NAT that control has let in. All links together; who is not here is at its own address.
 * @module
 */
import { GroupedRowsReader, GroupedRowsWriter } from '../../shm/grouped-rows.ts';
import { SEATS_MAX, type TableSegment } from '../segment.ts';

/** Where a peer is. Addresses are IPv4, u32. */
export type Seat = { peer: number; address: number; port: number };

export class SeatReader {
  readonly #rows: GroupedRowsReader;

  constructor(segment: TableSegment) {
    const { buffer, offset } = segment.seats;
    this.#rows = new GroupedRowsReader(buffer, offset, SEATS_MAX);
  }

  /** Changes whenever anything does; a plain load, so a change may be seen a moment late. */
  get version(): number {
    return this.#rows.version;
  }

  /** Those of a link; undefined when control did not finish writing. */
  read(link: number): { seats: Seat[]; version: number } | undefined {
    const read = this.#rows.read(link);
    if (read === undefined) return undefined;
    const seats = read.rows.map(([peer, address, port]) => ({ peer, address, port }));
    return { seats, version: read.version };
  }
}

/** Control: the one writer. */
export class SeatWriter {
  readonly #rows: GroupedRowsWriter;

  constructor(segment: TableSegment) {
    const { buffer, offset } = segment.seats;
    this.#rows = new GroupedRowsWriter(buffer, offset, SEATS_MAX);
  }

  /** Makes the seats of a link these; how many found no room. */
  replace(link: number, seats: readonly Seat[]): number {
    return this.#rows.replace(
      link,
      seats.map(({ peer, address, port }) => [peer, address, port]),
    );
  }

  /** The link has gone. */
  clear(link: number): void {
    this.#rows.replace(link, []);
  }
}
