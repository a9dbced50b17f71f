/**
 * What bounds one turn of the loop: a device that never runs dry gives one burst, and a socket that
 * takes nothing costs its own packets only.
 */
import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { MMSGHDR_BYTES } from '../../src/dataplane/ground/arena.ts';
import { ErrorQueue } from '../../src/dataplane/send/errors.ts';
import { PathMtu } from '../../src/dataplane/send/path-mtu.ts';
import { Trains } from '../../src/dataplane/send/trains.ts';
import { EAGAIN, ENOBUFS } from '../../src/sys/libc/constants.ts';
import { makeEgress, makeRig, RIG } from '../fuzz/dataplane-rig.ts';

const BURST = 64;

t.test('a device that never runs dry gives one burst a turn', async (t) => {
  // Reads as frames of zeros, for ever.
  const endless = openSync('/dev/zero', 'r');
  t.teardown(() => closeSync(endless));
  for (const vnet of [true, false]) {
    const { arena, layout, peers, link, counters } = makeRig('Vxlan', vnet, RIG.sender, endless);
    const egress = makeEgress({ arena, layout, peers });
    t.equal(egress.readBurst(link, 0), BURST);
    t.equal(counters()['egress.received'], BURST);
    t.equal(egress.readBurst(link, 0), BURST, 'and the next turn another one');
  }
});

t.test('a full socket costs its own packets and no time, not those of others', async (t) => {
  const [full, open] = [1000, 1001];
  const hosts = 20;
  const { arena, layout, peers, ports, link, counters } = makeRig('Vxlan', true, RIG.sender);
  const paths = new PathMtu(peers, { configured: () => 0, current: () => 0 });
  const trains = new Trains(arena, layout, paths, new ErrorQueue(arena, peers));
  let taken = 0;
  let asked = 0;
  let hasRoom = false;
  ports.send = (socket, messages, count) => {
    t.ok(messages >= 0 && messages < arena.bytes.length - MMSGHDR_BYTES);
    if (socket === full) {
      asked++;
      if (hasRoom) return count;
      return -EAGAIN;
    }
    taken += count;
    return count;
  };
  const start = arena.allocate(100);
  const burst = (nowMs: number) => {
    for (let host = 0; host < hosts; host++) {
      const peer = peers.intern(RIG.receiver + host, link.peerPort);
      for (const socket of [full, open]) trains.append(link, peer, socket, 0, start, 100);
    }
    trains.flush(nowMs);
  };
  burst(100);
  t.equal(taken, hosts, 'all that leaves by the other socket has left');
  t.match(counters(), { 'egress.delivered': hosts, 'egress.drop.send_full': hosts });
  t.match(counters(), { 'event.send_pauses': 1 });
  t.equal(ports.polls, 0, 'nobody waited');
  t.equal(asked, 1, 'one call told that nothing fits: the others were not tried');
  t.ok(trains.isPaused(full, 100.5), 'left alone for a moment');
  t.notOk(trains.isPaused(open, 100.5));
  t.notOk(trains.isPaused(full, 101.5), 'and then it is tried again');
  hasRoom = true;
  burst(102);
  t.match(counters(), { 'egress.delivered': 3 * hosts, 'egress.drop.send_full': hosts });
});

t.test('a queue that refuses one datagram is asked for the next, and never twice', async (t) => {
  const { arena, layout, peers, ports, link, counters } = makeRig('Vxlan', true, RIG.sender);
  const paths = new PathMtu(peers, { configured: () => 0, current: () => 0 });
  const trains = new Trains(arena, layout, paths, new ErrorQueue(arena, peers));
  let asked = 0;
  ports.send = () => {
    // As a fair queue does it: every second flow has no room.
    if (asked++ % 2 === 1) return 1;
    return -ENOBUFS;
  };
  const start = arena.allocate(100);
  for (let host = 0; host < 10; host++) {
    trains.append(link, peers.intern(RIG.receiver + host, link.peerPort), 1000, 0, start, 100);
  }
  trains.flush(0);
  t.equal(asked, 10);
  t.match(counters(), { 'egress.delivered': 5, 'egress.drop.send_full': 5 });
  t.match(counters(), { 'event.send_pauses': 0 }, 'its buffer was not full');
});
