/** Who is a peer of a layer-2 network: those that control has admitted, over IPv4 and over IPv6. */
import t from 'tap';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { Bucket } from '../../src/dataplane/ground/bucket.ts';
import { Network } from '../../src/dataplane/ground/network.ts';
import { PeerTable } from '../../src/dataplane/ground/peers.ts';
import { Sender } from '../../src/dataplane/ground/route.ts';
import {
  emitSockaddr,
  emitSockaddrIpv6,
  getSockaddrIpv4,
  SOCKADDR_BYTES,
} from '../../src/dataplane/ground/sockaddr.ts';
import { VXLAN } from '../../src/encap/encap.ts';
import { LinkKind } from '../../src/shm/network.ts';
import { EndpointKind } from '../../src/table/links/links.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { vtepPeer } from '../../src/table/vteps.ts';
import { TestTables } from '../support/tables.ts';

const PORT = VXLAN.defaultPort;
const WORDS = [0xfd00_0000, 1, 2] as const;

function makeNetwork(isIpv6: 0 | 1, local: number) {
  const arena = new Arena(8 << 20);
  const tables = new TestTables();
  const peers = new PeerTable(arena);
  const [localWord0, localWord1, localWord2] = WORDS;
  const endpoint = {
    ...{ kind: EndpointKind.Udp, localAddress: local, localPort: PORT, offloads: 0, sockets: [] },
    ...(isIpv6 === 1 && { isIpv6, localWord0, localWord1, localWord2 }),
  };
  const record = {
    ...{ id: 3, encap: VXLAN.id, deviceFd: -1, offloads: 0, endpoint: 0, kind: LinkKind.Vni },
    ...{ overlayAddress: 0, overlayLength: 0, underlayAddress: 0, underlayLength: 0, gateway: 0 },
    ...{ localAddress: local, vni: 100, peerPort: PORT, innerMtu: 1430, underlayMtu: 1500 },
    ...{ superBytesToHost: 65_535, superBytesToPorts: 65_535, dscpUniform: 0 },
  };
  const network = new Network(record, endpoint, PORT, tables, peers);
  return { arena, tables, peers, network, name: arena.allocate(SOCKADDR_BYTES) };
}

t.test('over IPv4', async (t) => {
  const { arena, tables, peers, network, name } = makeNetwork(0, 0xac1e_0001);
  const senderAt = (address: number): Sender => {
    emitSockaddr(arena.view, name, address, 50_000);
    return network.sender(arena.view, name);
  };
  const index = tables.peerWriter.intern(ipv4Bytes(0xac1e_0002));
  t.equal(senderAt(0xac1e_0002), Sender.Stranger, 'before it is admitted');
  tables.vtepWriter.set(3, index);
  t.equal(senderAt(0xac1e_0002), Sender.Peer);
  t.equal(vtepPeer(network.vtep), index);
  t.equal(senderAt(0xac1e_0001), Sender.Ourselves);
  t.equal(senderAt(0xac1e_0003), Sender.Stranger);
  t.equal(network.vtep, 0);
  const peer = network.peerOf(index);
  t.equal(getSockaddrIpv4(arena.view, peers.nameOf(peer)), 0xac1e_0002);
  t.equal(network.peerOf(999), 0, 'a number without a row');
});

t.test('over IPv6', async (t) => {
  const { arena, tables, network, name } = makeNetwork(1, 7);
  const address = (...words: number[]): Uint8Array => {
    const bytes = new Uint8Array(16);
    for (const [i, word] of words.entries()) new DataView(bytes.buffer).setUint32(i * 4, word);
    return bytes;
  };
  const senderAt = (a: number, b: number, c: number, d: number): Sender => {
    emitSockaddrIpv6(arena.view, name, a, b, c, d);
    return network.sender(arena.view, name);
  };
  const [near, far] = [address(...WORDS, 8), address(0x2001_0db8, 0, 0, 7)];
  const indexes = [near, far].map((bytes) => tables.peerWriter.intern(bytes));
  for (const index of indexes) tables.vtepWriter.set(3, index);
  t.equal(senderAt(...WORDS, 8), Sender.Peer);
  t.equal(vtepPeer(network.vtep), indexes[0]);
  t.equal(senderAt(0x2001_0db8, 0, 0, 7), Sender.Peer, 'of any other network');
  t.equal(vtepPeer(network.vtep), indexes[1]);
  t.equal(senderAt(...WORDS, 7), Sender.Ourselves);
  t.equal(senderAt(...WORDS, 9), Sender.Stranger);
  emitSockaddr(arena.view, name, 8, 50_000);
  t.equal(network.sender(arena.view, name), Sender.Stranger, 'over the other family');
  const [one, other] = indexes.map((index) => network.peerOf(index));
  t.ok(one !== undefined && one > 0 && other !== undefined && other > 0 && one !== other);
  tables.vtepWriter.delete(3, indexes[0] ?? 0);
  t.equal(senderAt(...WORDS, 8), Sender.Stranger);
});

t.test('a bucket gives what it has, and earns with time', async (t) => {
  const bucket = new Bucket(10);
  const take = (nowMs: number): number => {
    let count = 0;
    while (bucket.take(nowMs)) count++;
    return count;
  };
  t.equal(take(1000), 10);
  t.equal(take(1500), 5);
  t.equal(take(900), 0, 'time that goes back earns nothing');
  bucket.setRate(100);
  t.equal(take(900), 90, 'a higher rate is there at once');
  bucket.setRate(2);
  t.equal(take(900), 0);
  t.equal(take(60_000), 2, 'and never more than a burst');
});
