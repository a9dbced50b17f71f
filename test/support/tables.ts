/**
 * The tables of who is where, in memory of a test's own: written as control does, read as a data
 * process does.
 * @module
 */
import type { EntryTables } from '../../src/dataplane/ground/fan.ts';
import { ipv4Bytes, PeerReader, PeerWriter } from '../../src/table/peers.ts';
import { PrefixReader, PrefixWriter } from '../../src/table/prefixes.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';

const SEED = 4711;

/** A prefix of the overlay at another host than its address says; `peer` is the host's u32. */
export type Exception = { address: number; length: number; peer: number };

export class TestTables implements EntryTables {
  readonly segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  readonly prefixes: PrefixReader;
  readonly peers: PeerReader;
  readonly prefixWriter: PrefixWriter;
  readonly peerWriter: PeerWriter;

  constructor() {
    this.segment.initialize(SEED);
    this.prefixes = new PrefixReader(this.segment);
    this.peers = new PeerReader(this.segment);
    this.prefixWriter = new PrefixWriter(this.segment);
    this.peerWriter = new PeerWriter(this.segment);
  }

  /** Puts entries of the link with the number `link` into the table. */
  add(link: number, exceptions: readonly Exception[]): void {
    for (const { address, length, peer } of exceptions) {
      const index = this.peerWriter.intern(ipv4Bytes(peer));
      this.prefixWriter.set(link, address, length, index);
    }
  }
}
