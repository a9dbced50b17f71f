/** Where a packet goes: hosts of a fan by arithmetic or entry, links of an endpoint. @module */
import { getSockaddrIpv4 } from '../../src/dataplane/ground/sockaddr.ts';
import { peerOf as mapPeerOf } from '../../src/net/fan.ts';
import { PrefixReader, PrefixWriter } from '../../src/table/prefixes.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { at, type Case, same } from './harness.ts';
import { frame, packet } from './packets.ts';
import { plainWrap } from './plain.ts';
import { type Fan, OVERLAY, RECEIVER, Rig, SENDER, sortedHex } from './rig.ts';

const HOSTS = [1, 16, 256, 4096, 65_535];
const ENTRIES = [1, 100, 10_000, 262_144];
/** Addresses that traffic goes to at one time; beyond, the processor's cache is what is measured. */
const IN_USE = 256;
/** Entries that a call of the case of changes makes and takes away again. */
const CHANGES = 256;
const LINK = 7;
const LINKS = [1, 16, 256];
const LOOK_UPS = 4096;
const DATAGRAMS = 64;
const UNDERLAY = 0xac1e0000;

/** A pseudorandom u32 for an index. */
function scatter(index: number): number {
  return Math.imul(Math.imul(index + 1, 0x9e3779b1) ^ (index << 7), 0x85ebca6b) >>> 0;
}

/** The peer of random containers of `hosts` hosts; the plain way is a table of all slices. */
function fan(rig: Rig, hosts: number): Case {
  const { link, arena } = rig;
  const at = arena.allocate(4);
  const table = new Map<number, number>();
  for (let host = 1; host <= hosts; host++) {
    table.set((OVERLAY | (host << 8)) >>> 0, (UNDERLAY | host) >>> 0);
  }
  const inner = Uint32Array.from(
    { length: LOOK_UPS },
    (_, index) => OVERLAY | ((1 + (scatter(index) % hosts)) << 8) | (1 + (index % 254)),
  );
  const fast = (address: number): number => {
    arena.view.setUint32(at, address);
    return link.route.to(arena.view, at);
  };
  const plain = (address: number): number => table.get((address & 0xffffff00) >>> 0) ?? -1;
  const map = {
    overlay: { address: OVERLAY, length: 8 },
    underlay: { address: UNDERLAY, length: 16 },
  };
  const title = `peer of an address, ${hosts.toLocaleString('en')} host${hosts === 1 ? '' : 's'}`;
  return {
    key: `fan/${hosts}`,
    mirrors: 'dataplane/ground/fan.ts',
    title,
    packets: LOOK_UPS,
    chart: { name: 'hosts', label: `${hosts.toLocaleString('en')} host${hosts === 1 ? '' : 's'}` },
    fast: () => {
      let sum = 0;
      for (let i = 0; i < LOOK_UPS; i++) sum = (sum + fast(inner[i] as number)) | 0;
      return sum;
    },
    plain: () => {
      let sum = 0;
      for (let i = 0; i < LOOK_UPS; i++) sum = (sum + plain(inner[i] as number)) | 0;
      return sum;
    },
    check: () => {
      const met = [...inner].map((address) => {
        const peer = fast(address);
        return peer < 0 ? -1 : getSockaddrIpv4(rig.peers.view, rig.peers.nameOf(peer));
      });
      // 65,535 is the underlay's broadcast address and nobody's host; the sender itself is no peer.
      const isHost = (peer: number): boolean => (peer & 0xffff) !== 0xffff && peer !== SENDER;
      const known = (peer: number): number => (isHost(peer) ? peer : -1);
      same(title, met, [...inner].map(plain).map(known));
      same(
        title,
        met,
        [...inner].map((address) => known(mapPeerOf(map, address))),
      );
    },
  };
}

/** A table with `count` single addresses, every second one of the overlay's first. */
function filled(count: number): { segment: TableSegment; writer: PrefixWriter } {
  const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  segment.initialize(4711);
  const writer = new PrefixWriter(segment);
  for (let index = 0; index < count; index++) {
    writer.set(LINK, OVERLAY | (2 * index), 32, 1 + (index % 65_000));
  }
  return { segment, writer };
}

/**
 * Half of the look-ups find one; the plain way is a Map of numbers.
 * @param inUse addresses that are asked for, spread over all entries
 */
function entries(count: number, inUse: number): Case {
  const table = new PrefixReader(filled(count).segment);
  const map = new Map<number, number>();
  for (let index = 0; index < count; index++) {
    map.set((OVERLAY | (2 * index)) >>> 0, 1 + (index % 65_000));
  }
  const inner = Uint32Array.from(
    { length: LOOK_UPS },
    (_, index) => OVERLAY | (2 * (scatter(index % inUse) % count) + (index & 1)),
  );
  const plain = (address: number): number => map.get(address) ?? 0;
  const isAll = inUse === LOOK_UPS;
  const title = `entry for an address, ${count.toLocaleString('en')} in the table${isAll ? ', all in use' : ''}`;
  return {
    key: `${isAll ? 'all-entries' : 'entries'}/${count}`,
    mirrors: 'table/prefixes.ts',
    title,
    packets: LOOK_UPS,
    ...(isAll ? {} : { chart: { name: 'entries', label: count.toLocaleString('en') } as const }),
    fast: () => {
      let sum = 0;
      for (let i = 0; i < LOOK_UPS; i++) sum = (sum + table.find(LINK, inner[i] as number)) | 0;
      return sum;
    },
    plain: () => {
      let sum = 0;
      for (let i = 0; i < LOOK_UPS; i++) sum = (sum + plain(inner[i] as number)) | 0;
      return sum;
    },
    check: () =>
      same(
        title,
        [...inner].map((address) => table.find(LINK, address)),
        [...inner].map(plain),
      ),
  };
}

/** What control does for an entry that comes and goes, among `count` others; plainly in a Map. */
function changes(count: number): Case {
  const { writer } = filled(count);
  const map = new Map<number, number>();
  const address = (index: number): number => (OVERLAY | (2 * scatter(index) + 1)) >>> 0;
  const title = `one change of an entry, ${count.toLocaleString('en')} in the table`;
  return {
    key: `change/${count}`,
    mirrors: 'table/prefixes.ts',
    title,
    packets: 2 * CHANGES,
    fast: () => {
      for (let i = 0; i < CHANGES; i++) writer.set(LINK, address(i), 32, 1 + i);
      for (let i = 0; i < CHANGES; i++) writer.delete(LINK, address(i), 32);
      return writer.count;
    },
    plain: () => {
      for (let i = 0; i < CHANGES; i++) map.set(address(i), 1 + i);
      for (let i = 0; i < CHANGES; i++) map.delete(address(i));
      return map.size;
    },
    check: () => {
      for (let i = 0; i < CHANGES; i++) writer.set(LINK, address(i), 32, 1 + i);
      const met = Array.from({ length: CHANGES }, (_, i) => writer.get(LINK, address(i), 32));
      for (let i = 0; i < CHANGES; i++) writer.delete(LINK, address(i), 32);
      same(
        title,
        [...met, writer.count],
        [...Array.from({ length: CHANGES }, (_, i) => 1 + i), count],
      );
    },
  };
}

/** Overlays of their own, each a /16 over the same /24 of hosts. */
function fans(count: number): Fan[] {
  return Array.from({ length: count }, (_, index) => ({
    overlay: (0x0a000000 | (index << 16)) >>> 0,
    overlayLength: 16,
    underlayLength: 24,
  }));
}

/** Datagrams for random links of `count` on one endpoint; the plain way has an endpoint for each. */
function links(count: number): Case {
  const receivers = [true, false].map((shared) => new Rig(RECEIVER, fans(count), shared));
  const [one, each] = [at(receivers, 0), at(receivers, 1)];
  const parts = Array.from({ length: DATAGRAMS }, (_, index) => {
    const link = scatter(index) % count;
    const { overlay } = at(fans(count), link);
    const inner = packet({
      protocol: 17,
      payloadBytes: 64,
      sourcePort: 20_000 + index,
      source: overlay | ((SENDER & 255) << 8) | 2,
      destination: overlay | ((RECEIVER & 255) << 8) | 2,
    });
    const bytes = plainWrap(frame(inner), overlay >>> 8);
    return { link, bytes: bytes.length, places: receivers.map((rig) => rig.place(bytes)) };
  });
  const run = (rig: Rig, place: number): number => {
    for (const part of parts) {
      const endpoint = rig.endpoints.length === 1 ? rig.endpoint : at(rig.endpoints, part.link);
      rig.ingress.message(endpoint, part.places[place] as number, part.bytes, rig.sender, 0, 0);
    }
    rig.ingress.flush();
    return 0;
  };
  const title = `deliver a 64-byte datagram, ${count} link${count === 1 ? '' : 's'} on one endpoint`;
  return {
    key: `links/${count}`,
    mirrors: 'dataplane/ingress/ingress.ts',
    title,
    packets: DATAGRAMS,
    chart: { name: 'links', label: `${count} link${count === 1 ? '' : 's'}` },
    fast: () => run(one, 0),
    plain: () => run(each, 1),
    check: () => {
      const met = sortedHex(one.record(() => run(one, 0)));
      same(title, met, sortedHex(each.record(() => run(each, 1))));
      if (met.length !== DATAGRAMS) throw new Error(`${title}: ${met.length} frames arrived`);
    },
  };
}

export function lookupCases(): Case[] {
  const rig = new Rig(SENDER);
  return [
    ...HOSTS.map((hosts) => fan(rig, hosts)),
    ...ENTRIES.map((count) => entries(count, IN_USE)),
    entries(262_144, LOOK_UPS),
    ...[100, 262_144 - CHANGES].map(changes),
    ...LINKS.map(links),
  ];
}
