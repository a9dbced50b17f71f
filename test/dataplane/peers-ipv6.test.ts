import t from 'tap';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { PATH_MTU_FLOOR_IPV6_BYTES, PeerTable } from '../../src/dataplane/ground/peers.ts';
import { addressOffset } from '../../src/dataplane/ground/sockaddr.ts';
import {
  formatHostAddress,
  hostOfBytes,
  parseHostAddress,
} from '../../src/net/underlay-address.ts';
import { PATH_ROWS_BYTES } from '../../src/shm/path-rows.ts';
import { limitMtu, PathLimitReader, PathLimitWriter } from '../../src/table/links/path-limits.ts';
import { MtuSource, PathRows, readPaths } from '../../src/table/paths.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';

t.test('peers of both families keep apart, also where their last words meet', async (t) => {
  const view = new DataView(new ArrayBuffer(PATH_ROWS_BYTES));
  const arena = new Arena(4 << 20);
  const peers = new PeerTable(arena, new PathRows(view), 256);
  const hostOf = (peer: number): string => {
    const at = peers.nameOf(peer) + addressOffset(arena.view, peers.nameOf(peer));
    const bytes = arena.bytes.subarray(at, at + (peers.nameBytes(peer) === 28 ? 16 : 4));
    return formatHostAddress(hostOfBytes(bytes));
  };
  const word = 0xac1e011b;
  const four = peers.intern(word, 4789);
  const six = peers.internIpv6(0xfd000030, 0, 0, word, 4789);
  const other = peers.internIpv6(0xfd000031, 0, 0, word, 4789);
  t.equal(new Set([four, six, other]).size, 3);
  t.same([four, six, other].map(hostOf), ['172.30.1.27', 'fd00:30::ac1e:11b', 'fd00:31::ac1e:11b']);
  t.equal(peers.intern(word, 4789), four);
  t.equal(peers.internIpv6(0xfd000030, 0, 0, word, 4789), six);
  t.equal(peers.find(peers.nameOf(six), 4789), six);
  t.equal(peers.find(peers.nameOf(six), 1), 0, 'another port is another peer');

  // Many more than there is room for: numbers go on, and what is held is right.
  for (let burst = 0; burst < 500; burst++) {
    peers.nextBurst(burst * 1000);
    const held = new Map<number, string>();
    for (let i = 0; i < 32; i++) {
      const last = (burst * 7 + i * 13) >>> 0;
      const peer =
        i % 2 === 0 ? peers.internIpv6(0xfd000030, 0, i, last, 1) : peers.intern(last, 1);
      held.set(peer, hostOf(peer));
    }
    for (const [peer, text] of held) if (hostOf(peer) !== text) t.fail(`burst ${burst}: ${text}`);
  }

  const peer = peers.internIpv6(0xfd000030, 0, 0, 5, 4789);
  peers.noteSent(peer, 1500, 1);
  t.ok(peers.lower(peer, 600, 2));
  t.equal(peers.pathMtu(peer, 3), PATH_MTU_FLOOR_IPV6_BYTES, 'never below what IPv6 carries');
  const told = readPaths(view).find(({ mtu }) => mtu !== 0);
  t.match(told, { peer: parseHostAddress('fd00:30::5'), mtu: 1280, mtuSource: MtuSource.Icmp });
});

t.test('limits of paths to hosts of both families', async (t) => {
  const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  segment.initialize(77);
  const writer = new PathLimitWriter(segment);
  const reader = new PathLimitReader(segment);
  const find = (text: string): number => {
    const host = parseHostAddress(text);
    const bytes = Buffer.alloc(16);
    if (typeof host === 'number') bytes.writeUInt32BE(host);
    else bytes.write(host, 'hex');
    const at = new DataView(bytes.buffer, bytes.byteOffset, 16);
    return limitMtu(reader.find(at, 0, typeof host === 'number' ? 4 : 16));
  };
  const limit = (text: string, mtu: number) => {
    return { peer: parseHostAddress(text), mtu, source: MtuSource.Probe };
  };
  t.equal(writer.replace([limit('fd00:30::5', 1400), limit('172.30.0.5', 1300)]), 0);
  t.same(['fd00:30::5', '172.30.0.5', 'fd00:30::6', '172.30.0.6'].map(find), [1400, 1300, 0, 0]);
  writer.replace([limit('fd00:30::5', 1380)]);
  t.same(['fd00:30::5', '172.30.0.5'].map(find), [1380, 0]);
  const many = Array.from({ length: 3000 }, (_, i) =>
    limit(`fd00:30::${i.toString(16)}`, 1280 + i),
  );
  t.equal(writer.replace(many), 0);
  t.same(['fd00:30::0', 'fd00:30::5', 'fd00:30::bb7'].map(find), [1280, 1285, 1280 + 0xbb7]);
});
