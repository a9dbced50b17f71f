/** Layer-2 networks: who has a MAC or an address, among few and among many. @module */
import { FdbReader, FdbWriter, fdbPeer } from '../../src/table/fdb.ts';
import { NeighbourReader, NeighbourWriter } from '../../src/table/neighbours.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { type Case, same } from './harness.ts';

const STATIONS = [1000, 100_000];
/** Stations that traffic goes to at one time; beyond, the processor's cache is what is measured. */
const IN_USE = 256;
const LOOK_UPS = 4096;
const LINK = 7;
const HIGH = 0x0242;
const TWO_32 = 0x1_0000_0000;

function makeSegment(): TableSegment {
  const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  segment.initialize(4711);
  return segment;
}

/** Which stations are asked for, spread over all of them. */
function asked(count: number): Uint32Array {
  return Uint32Array.from({ length: LOOK_UPS }, (_, i) => {
    return (Math.imul((i % IN_USE) + 1, 0x9e3779b1) >>> 0) % (2 * count);
  });
}

/** Half of the MACs are known; the plain way is a Map of numbers. */
function macs(count: number): Case {
  const segment = makeSegment();
  const writer = new FdbWriter(segment);
  const table = new FdbReader(segment);
  const map = new Map<number, number>();
  for (let station = 0; station < count; station++) {
    const mac = HIGH * TWO_32 + 2 * station;
    const peer = 1 + (station % 1000);
    writer.set(LINK, mac, { peer, flags: 0 });
    map.set(mac, peer);
  }
  const low = asked(count);
  const fast = (at: number): number => fdbPeer(table.find(LINK, HIGH, low[at] as number));
  const plain = (at: number): number => map.get(HIGH * TWO_32 + (low[at] as number)) ?? 0;
  const title = `peer of a MAC, ${count.toLocaleString('en')} in the table`;
  return lookUps({ key: `macs/${count}`, mirrors: 'table/fdb.ts', title }, fast, plain);
}

/** The same for IPv4 addresses and their MACs. */
function neighbours(count: number): Case {
  const segment = makeSegment();
  const writer = new NeighbourWriter(segment);
  const table = new NeighbourReader(segment);
  const map = new Map<number, number>();
  const address = new Uint8Array(4);
  for (let station = 0; station < count; station++) {
    new DataView(address.buffer).setUint32(0, 2 * station);
    writer.set(LINK, address, { mac: HIGH * TWO_32 + station, flags: 0 });
    map.set(2 * station, station);
  }
  const low = asked(count);
  const fast = (at: number): number => (table.findIpv4(LINK, low[at] as number) ? table.macLow : 0);
  const plain = (at: number): number => map.get(low[at] as number) ?? 0;
  const title = `MAC of an address, ${count.toLocaleString('en')} in the table`;
  const about = { key: `neighbours/${count}`, mirrors: 'table/neighbours.ts', title };
  return lookUps(about, fast, plain);
}

function lookUps(
  about: Pick<Case, 'key' | 'mirrors' | 'title'>,
  fast: (at: number) => number,
  plain: (at: number) => number,
): Case {
  const sum = (find: (at: number) => number): number => {
    let total = 0;
    for (let at = 0; at < LOOK_UPS; at++) total = (total + find(at)) | 0;
    return total;
  };
  const all = (find: (at: number) => number): number[] =>
    Array.from({ length: LOOK_UPS }, (_, at) => find(at));
  return {
    ...about,
    packets: LOOK_UPS,
    fast: () => sum(fast),
    plain: () => sum(plain),
    check: () => same(about.title, all(fast), all(plain)),
  };
}

export function networkCases(): Case[] {
  return [...STATIONS.map(macs), ...STATIONS.map(neighbours)];
}
