/**
 * What one changed entry costs control, from the word of a source to the memory that the data path
 * reads. The plain way is what fanway did before: the whole set is made anew, written as text to see
 * whether it is another one, and all of it compared with what the table has.
 * @module
 */
import { contains } from '../../src/net/prefix.ts';
import type { EntryId } from '../../src/rib/entry.ts';
import { Rib } from '../../src/rib/rib.ts';
import { ipv4Bytes, PeerWriter } from '../../src/table/peers.ts';
import { PrefixWriter } from '../../src/table/prefixes.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { type Case, same } from './harness.ts';

const LINK = 7;
const OVERLAY = 0xfa000000;
const UNDERLAY = 0xac1e0000;
const OVERLAY_LENGTH = 8;
const HOSTS = 100;
/** Entries that a call moves; the clock stands, and each moves once in a call. */
const MOVES = 64;

/** A table in memory, and how an entry gets there. */
class Written {
  readonly prefixes: PrefixWriter;
  readonly peers: PeerWriter;
  readonly #known = new Map<number, number>();

  constructor() {
    const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
    segment.initialize(4711);
    this.prefixes = new PrefixWriter(segment);
    this.peers = new PeerWriter(segment);
  }

  set(address: number, host: number): void {
    const before = this.#known.get(address);
    const peer = this.peers.intern(ipv4Bytes(host));
    this.prefixes.set(LINK, address, 32, peer);
    this.#known.set(address, peer);
    if (before !== undefined) this.peers.release(before);
  }

  hostOf(address: number): number {
    return this.peers.ipv4(this.prefixes.get(LINK, address, 32));
  }
}

/** By changes: source, rib, table. */
class ByChanges {
  readonly #rib = new Rib({ max: 262_144, ownerMax: 262_144 });
  readonly table = new Written();
  /** Moves are ten seconds apart: none is one too many. */
  #nowMs = 0;

  tick(): void {
    this.#nowMs += 10_000;
  }

  move(address: number, host: number): void {
    const id: EntryId = { link: 'fan-250', kind: 'prefix', address, length: 32 };
    const claim = { peer: host, owner: `host ${host}`, sequence: 1, mac: 0 };
    for (const { after } of this.#rib.update('gossip', [{ id, claim }], this.#nowMs)) {
      if (after !== undefined) this.table.set(address, Number(after.peer));
    }
  }
}

/** As a whole: everything made anew, written as text, compared. */
class AsAWhole {
  readonly table = new Written();
  readonly hosts = new Map<number, number>();
  #text = '';
  #exceptionText = '';

  apply(): void {
    const moved = [...this.hosts].map(([address, host]) => ({
      prefix: { address, length: 32 },
      vni: 0,
      fans: [{ overlay: { address: OVERLAY, length: OVERLAY_LENGTH }, local: host }],
      owner: `host ${host}`,
    }));
    const text = JSON.stringify(moved);
    if (text === this.#text) return;
    this.#text = text;
    const overlay = { address: OVERLAY, length: OVERLAY_LENGTH };
    const exceptions = moved.flatMap(({ prefix, fans }) => {
      const [fan] = fans;
      if (fan === undefined || !contains(overlay, prefix.address)) return [];
      return [{ ...prefix, peer: fan.local }];
    });
    const exceptionText = JSON.stringify(exceptions);
    if (exceptionText === this.#exceptionText) return;
    this.#exceptionText = exceptionText;
    for (const { address, peer } of exceptions) {
      if (this.table.hostOf(address) !== peer) this.table.set(address, peer);
    }
  }
}

/** One entry moves among `count` others. */
function moves(count: number): Case {
  const [changes, whole] = [new ByChanges(), new AsAWhole()];
  const address = (index: number): number => (OVERLAY | (index * 3)) >>> 0;
  const host = (index: number): number => (UNDERLAY | (1 + (index % HOSTS))) >>> 0;
  for (let i = 0; i < count; i++) {
    changes.move(address(i), host(i));
    whole.hosts.set(address(i), host(i));
  }
  whole.apply();
  const title = `an entry moves: source to table, ${count.toLocaleString('en')} entries`;
  let turn = 0;
  const place = (index: number): [address: number, host: number] => [
    address((index * 97) % count),
    host(index + turn),
  ];
  return {
    key: `move/${count}`,
    mirrors: 'rib/rib.ts',
    title,
    packets: 1,
    fast: () => {
      turn++;
      changes.tick();
      changes.move(...place(turn % MOVES));
      return turn;
    },
    plain: () => {
      turn++;
      const [at, to] = place(turn % MOVES);
      whole.hosts.set(at, to);
      whole.apply();
      return turn;
    },
    check: () => {
      changes.tick();
      for (let i = 0; i < MOVES; i++) {
        const [at, to] = place(i);
        changes.move(at, to);
        whole.hosts.set(at, to);
      }
      whole.apply();
      const all = (table: Written): number[] =>
        Array.from({ length: count }, (_, i) => table.hostOf(address(i)));
      same(title, all(changes.table), all(whole.table));
    },
  };
}

/** Moves of an entry among few and among many. */
export function entryCases(): Case[] {
  return [1000, 100_000].map(moves);
}
