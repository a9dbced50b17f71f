/**
 * The tables of who is where, in memory of a test's own: written as control does, read as a data
 * process does.
 * @module
 */
import type { EntryTables } from '../../src/dataplane/ground/fan.ts';
import { readTables } from '../../src/dataplane/ground/link.ts';
import type { NetworkTables } from '../../src/dataplane/ground/network.ts';
import type { Loop } from '../../src/dataplane/loop.ts';
import { type FdbReader, FdbWriter } from '../../src/table/fdb.ts';
import { type FloodReader, FloodWriter } from '../../src/table/flood.ts';
import { type EndpointRecord, type LinkRecord, LinkWriter } from '../../src/table/links/links.ts';
import { type NeighbourReader, NeighbourWriter } from '../../src/table/neighbours.ts';
import { ipv4Bytes, PeerReader, PeerWriter } from '../../src/table/peers.ts';
import { PrefixReader, PrefixWriter } from '../../src/table/prefixes.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { Prefix6Reader, Prefix6Writer } from '../../src/table/six/prefixes.ts';
import { type VtepReader, VtepWriter } from '../../src/table/vteps.ts';

const SEED = 4711;

/** A prefix of the overlay at another host than its address says; `peer` is the host's u32. */
export type Exception = { address: number; length: number; peer: number };

export class TestTables implements EntryTables, NetworkTables {
  readonly segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  readonly prefixes: PrefixReader;
  readonly prefixes6: Prefix6Reader;
  readonly peers: PeerReader;
  readonly prefixWriter: PrefixWriter;
  readonly prefix6Writer: Prefix6Writer;
  readonly peerWriter: PeerWriter;
  readonly fdb: FdbReader;
  readonly neighbours: NeighbourReader;
  readonly vteps: VtepReader;
  readonly floods: FloodReader;
  readonly fdbWriter: FdbWriter;
  readonly neighbourWriter: NeighbourWriter;
  readonly vtepWriter: VtepWriter;
  readonly floodWriter: FloodWriter;
  readonly linkWriter: LinkWriter;

  constructor() {
    this.segment.initialize(SEED);
    this.prefixes = new PrefixReader(this.segment);
    this.prefixes6 = new Prefix6Reader(this.segment);
    this.peers = new PeerReader(this.segment);
    this.prefixWriter = new PrefixWriter(this.segment);
    this.prefix6Writer = new Prefix6Writer(this.segment);
    this.peerWriter = new PeerWriter(this.segment);
    const { fdb, neighbours, vteps, floods } = readTables(this.segment);
    this.fdb = fdb;
    this.neighbours = neighbours;
    this.vteps = vteps;
    this.floods = floods;
    this.fdbWriter = new FdbWriter(this.segment);
    this.neighbourWriter = new NeighbourWriter(this.segment);
    this.vtepWriter = new VtepWriter(this.segment, this.peerWriter);
    this.floodWriter = new FloodWriter(this.segment);
    this.linkWriter = new LinkWriter(this.segment);
  }

  /**
   * Gives a loop its links, the sockets and devices of which are the records' own: an endpoint's number is
   * its place in the list.
   */
  give(
    loop: Pick<Loop, 'apply'>,
    endpoints: readonly EndpointRecord[],
    links: readonly LinkRecord[],
  ): void {
    for (const [index, endpoint] of endpoints.entries()) {
      this.linkWriter.setEndpoint(index, 1, endpoint);
    }
    for (const link of links) this.linkWriter.setLink(link.id, 1, link);
    const refused = loop.apply({
      ...{ sequence: 1, left: [] },
      endpoints: endpoints.map(({ sockets }, index) => ({
        ...{ index, incarnation: 1, sockets, probe: -1 },
      })),
      links: links.map(({ id, deviceFd }) => ({ id, incarnation: 1, device: deviceFd })),
    });
    if (refused !== 0) throw new Error(`the links were refused: errno ${refused}`);
  }

  /** Puts entries of the link with the number `link` into the table. */
  add(link: number, exceptions: readonly Exception[]): void {
    for (const { address, length, peer } of exceptions) {
      const index = this.peerWriter.intern(ipv4Bytes(peer));
      this.prefixWriter.set(link, address, length, index);
    }
  }
}
