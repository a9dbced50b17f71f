import t from 'tap';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { PATH_MTU_FLOOR_BYTES, PeerTable } from '../../src/dataplane/ground/peers.ts';
import { getSockaddrIpv4 } from '../../src/dataplane/ground/sockaddr.ts';
import { Random } from '../fuzz/mutate.ts';
import { makePeers, PEER_PORT } from '../support/peers.ts';

const HOST_A = 0xac1e0001;
const HOST_B = 0xac1e0102;

/** A table that knows two peers. */
function two() {
  const peers = makePeers();
  return { peers, a: peers.intern(HOST_A, PEER_PORT), b: peers.intern(HOST_B, PEER_PORT) };
}
/** What pathMtu() says when nothing lowered it. */
const UNLIMITED = 65535;
const MINUTE_MS = 60_000;

t.test('lower() believes only what can be true of something we sent', async (t) => {
  const { peers, a: A, b: B } = two();
  t.equal(peers.lower(A, 1300, 0), false, 'a peer that we never sent to');
  peers.noteSent(A, 1200, 1000);
  t.equal(peers.lower(A, 1300, 1000), false, 'we sent nothing that large');
  t.equal(peers.lower(A, 1200, 1000), false, 'what we sent fits');
  t.equal(peers.lower(B, 600, 1000), false, 'another peer');
  t.equal(peers.lower(A, 1100, 1000 + MINUTE_MS + 1), false, 'too long ago');
  t.equal(peers.loweredCount, 0);
  t.equal(peers.pathMtu(A, 1000), UNLIMITED);
  peers.noteSent(A, 1500, 2000);
  t.equal(peers.lower(A, 1400, 2001), true);
  t.equal(peers.pathMtu(A, 2002), 1400);
  t.equal(peers.pathMtu(B, 2002), UNLIMITED);
  t.equal(peers.lower(A, 1400, 2003), false, 'known already');
  t.equal(peers.lower(A, 1450, 2003), false, 'never raised');
  t.equal(peers.lower(A, 1280, 2004), true);
  t.equal(peers.pathMtu(A, 2005), 1280);
  t.equal(peers.loweredCount, 1, 'one peer, however often lowered');
});

t.test('lower() stops at the floor', async (t) => {
  for (const told of [0, 1, 68, 575, 576]) {
    const { peers, a: A } = two();
    peers.noteSent(A, 1500, 0);
    t.equal(peers.lower(A, told, 1), true, `told ${told}`);
    t.equal(peers.pathMtu(A, 2), PATH_MTU_FLOOR_BYTES);
    t.equal(peers.lower(A, told, 3), false);
  }
  const { peers: small, a: A } = two();
  small.noteSent(A, PATH_MTU_FLOOR_BYTES, 0);
  t.equal(small.lower(A, 68, 1), false, 'nothing at the floor can be too large');
});

t.test('a lowered path MTU is forgotten after ten minutes', async (t) => {
  const { peers, a: A } = two();
  peers.noteSent(A, 1500, 0);
  peers.lower(A, 1300, 0);
  t.equal(peers.pathMtu(A, 10 * MINUTE_MS), 1300);
  t.equal(peers.pathMtu(A, 10 * MINUTE_MS + 1), UNLIMITED);
  t.equal(peers.loweredCount, 0);
  t.equal(peers.lower(A, 1200, 10 * MINUTE_MS + 2), false, 'only what is sent from now on counts');
  peers.noteSent(A, 1500, 10 * MINUTE_MS + 3);
  t.equal(peers.lower(A, 1200, 10 * MINUTE_MS + 4), true);
});

t.test('a hundred thousand peers: fixed room, the books in order', async (t) => {
  const capacity = 4096;
  const peers = makePeers(undefined, capacity);
  const random = new Random(7);
  const COUNT = 100_000;
  let faults = 0;
  for (let i = 0; i < COUNT; i++) {
    peers.nextBurst(i);
    const peer = peers.intern((0xac100000 + i) >>> 0, PEER_PORT);
    if (peer <= 0 || peer >= capacity) faults++;
    peers.noteSent(peer, 1500, i);
    if (random.below(3) === 0) peers.lower(peer, 1300, i);
  }
  let lowered = 0;
  for (let peer = 1; peer < peers.size; peer++) if (peers.pathMtu(peer, COUNT) === 1300) lowered++;
  t.equal(faults, 0);
  t.equal(peers.size, capacity);
  t.equal(lowered, peers.loweredCount, 'every lowered peer is found again');
  const last = peers.intern((0xac100000 + COUNT - 1) >>> 0, PEER_PORT);
  t.equal(peers.lower(last, 1200, COUNT), true, 'the newest is always known');
});

t.test(
  'a number means one host: found again, ready to send to, never taken in its burst',
  async (t) => {
    const capacity = 256;
    const arena = new Arena(1 << 20);
    const peers = new PeerTable(arena, undefined, capacity);
    const random = new Random(3);
    const faults: string[] = [];
    for (let burst = 0; burst < 2000; burst++) {
      peers.nextBurst(burst * 1000);
      const held = new Map<number, number>();
      for (let i = 0; i < 64; i++) {
        const host = (0x0a000000 + random.below(1000)) >>> 0;
        const port = random.below(2);
        const peer = peers.intern(host, port);
        if (getSockaddrIpv4(arena.view, peers.nameOf(peer)) !== host)
          faults.push(`burst ${burst}: another host`);
        const name = peers.nameOf(peer);
        if (getSockaddrIpv4(arena.view, name) !== host || arena.view.getUint16(name + 2) !== port) {
          faults.push(`burst ${burst}: another socket address`);
        }
        if (peers.find(name, port) !== peer) faults.push(`burst ${burst}: not found`);
        held.set(peer, host * 2 + port);
      }
      for (const [peer, host] of held) {
        if (getSockaddrIpv4(arena.view, peers.nameOf(peer)) !== Math.floor(host / 2))
          faults.push(`burst ${burst}: taken`);
      }
    }
    t.same(faults.slice(0, 3), []);
  },
);

t.test('a fan of 65,534 hosts: everybody keeps a number', async (t) => {
  const arena = new Arena(8 << 20);
  const peers = new PeerTable(arena);
  const HOSTS = 65_534;
  const first = new Uint32Array(HOSTS + 1);
  for (let host = 1; host <= HOSTS; host++) {
    peers.nextBurst(host);
    first[host] = peers.intern((0xac1e0000 + host) >>> 0, PEER_PORT);
  }
  let moved = 0;
  for (let host = HOSTS; host > 0; host--) {
    peers.nextBurst(HOSTS + host);
    if (peers.intern((0xac1e0000 + host) >>> 0, PEER_PORT) !== first[host]) moved++;
  }
  t.equal(moved, 0);
  t.equal(new Set(first.subarray(1)).size, HOSTS, 'one each');
});

t.test('a model of a few peers agrees after every step', async (t) => {
  const random = new Random(11);
  const peers = makePeers();
  type Known = { sent: number; at: number; mtu: number; until: number };
  const model = new Map<number, Known>();
  const faults: string[] = [];
  let now = 0;
  for (let step = 0; step < 50_000 && faults.length === 0; step++) {
    const peer = peers.intern(0xac1e0000 + random.below(8), PEER_PORT);
    now += random.below(4) === 0 ? random.below(40_000) : random.below(50);
    const known = model.get(peer);
    const choice = random.below(3);
    if (choice === 0) {
      const bytes = 100 + random.below(1500);
      peers.noteSent(peer, bytes, now);
      const isStale = known === undefined || now - known.at > MINUTE_MS;
      const sent = isStale ? bytes : Math.max(bytes, known.sent);
      model.set(peer, { mtu: 0, until: 0, ...known, sent, at: now });
    } else if (choice === 1) {
      const told = random.below(1600);
      const mtu = Math.max(told, PATH_MTU_FLOOR_BYTES);
      let expected = false;
      if (known !== undefined && now - known.at <= MINUTE_MS && known.sent > mtu) {
        expected = known.mtu === 0 || known.mtu > mtu;
        if (expected) Object.assign(known, { mtu, until: now + 10 * MINUTE_MS });
      }
      if (peers.lower(peer, told, now) !== expected) faults.push(`lower at step ${step}`);
    } else {
      if (known !== undefined && known.mtu !== 0 && now > known.until) {
        Object.assign(known, { mtu: 0, sent: 0 });
      }
      const expected = known === undefined || known.mtu === 0 ? UNLIMITED : known.mtu;
      if (peers.pathMtu(peer, now) !== expected) faults.push(`pathMtu at step ${step}`);
    }
    const lowered = [...model.values()].filter(({ mtu }) => mtu !== 0).length;
    if (peers.loweredCount !== lowered) faults.push(`count at step ${step}`);
  }
  t.strictSame(faults, []);
});
