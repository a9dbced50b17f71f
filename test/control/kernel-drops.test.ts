import t, { type Test } from 'tap';
import { buffersRefused, KernelDrops } from '../../src/control/plane/tables/kernel-drops.ts';
import { SO_RCVBUF, SOL_SOCKET } from '../../src/sys/libc/constants.ts';
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { sendTrain } from '../../src/sys/sockets/send-train.ts';
import { readSocketMemory } from '../../src/sys/sockets/socket-memory.ts';
import {
  openIpip,
  openSendOnlyUdp,
  openUdp,
  type UnderlaySocket,
} from '../../src/sys/sockets/sockets.ts';
import { counterPlace } from '../../src/table/counters.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

const skip = skipWithoutNamespaces();
const HERE = 0x7f00_0001;
const THERE = 0x7f00_0002;
const PORT = 4789;
const SENT = 100;
/** What the smallest buffer may hold all the same. */
const HELD_MAX = 10;
const PLACES = [counterPlace('event.rounds'), counterPlace('event.socket_drops')];
/** As an inner header says it: source and destination are 0, so the flow falls to the first queue. */
const payload = Buffer.alloc(1400);

/** A namespace with a loopback, for sockets of ours. */
async function stage(t: Test): Promise<NetworkNamespace> {
  const namespace = NetworkNamespace.create();
  t.teardown(() => namespace.close());
  const netlink = Netlink.open(namespace);
  await netlink.setLink('lo', { up: true });
  netlink.close();
  return namespace;
}

/** The same socket with the smallest receive buffer there is, closed when the test ends. */
function small(t: Test, socket: UnderlaySocket): UnderlaySocket {
  t.teardown(() => libc.close(socket.fd));
  const bytes = addressOf(new Uint32Array([1]));
  check('SO_RCVBUF', libc.setsockopt(socket.fd, SOL_SOCKET, SO_RCVBUF, bytes, 4));
  return socket;
}

const send = (from: UnderlaySocket, port: number, count: number): void => {
  for (let i = 0; i < count; i++) sendTrain(from.fd, { address: HERE, port }, payload);
};
const watch = (sockets: UnderlaySocket[]) => ({ sockets, device: 'none', pid: undefined });
const dropsOf = (drops: KernelDrops, sockets: UnderlaySocket[]): number =>
  drops.addTo(new Float64Array(PLACES.length), PLACES, watch(sockets))[1] ?? 0;

t.test('a link counts what its sockets dropped since it is there', { skip }, async (t) => {
  const namespace = await stage(t);
  const open = <T>(work: () => T): T => namespace.run(work);
  const plain = { offload: false, reusePort: false };
  const listener = small(
    t,
    open(() => openUdp(HERE, PORT, plain)),
  );
  const sender = open(() => openSendOnlyUdp(HERE, { offload: false }));
  t.teardown(() => libc.close(sender.fd));
  const first = new KernelDrops();
  first.look(watch([listener]));
  send(sender, PORT, SENT);
  const told = await until('they are counted', 5000, () => {
    const drops = dropsOf(first, [listener]);
    return drops >= SENT - HELD_MAX && drops;
  });
  t.ok(told <= SENT, `${told} of ${SENT}`);

  // Another link on the same port: what was before it is not its own.
  const second = new KernelDrops();
  second.look(watch([listener]));
  t.ok(dropsOf(second, [listener]) <= HELD_MAX);
  send(sender, PORT, SENT);
  const later = await until('both count', 5000, () => {
    const drops = dropsOf(second, [listener]);
    return drops >= SENT && drops;
  });
  t.ok(dropsOf(first, [listener]) >= told + SENT, 'the first one goes on');

  // Its address changes: other sockets, the same counter.
  const moved = small(
    t,
    open(() => openUdp(HERE, PORT + 1, plain)),
  );
  t.ok(dropsOf(second, [moved]) >= later, 'the sum stays');
  send(sender, PORT + 1, SENT);
  await until(
    'the new one counts',
    5000,
    () => dropsOf(second, [moved]) >= later + SENT - HELD_MAX,
  );
  const events = new Float64Array(1);
  t.same([...second.addTo(events, PLACES.slice(0, 1), watch([moved]))], [0], 'no other counter');

  t.match(buffersRefused(watch([listener])), /^sysctl -w net\.core\.rmem_max=4194304/);
  t.equal(buffersRefused(watch([])), '');
});

t.test('raw sockets count theirs, and none of another queue', { skip }, async (t) => {
  const namespace = await stage(t);
  const sockets = [0, 1].map((queue) =>
    small(
      t,
      namespace.run(() => openIpip(HERE, queue, 2)),
    ),
  );
  const sender = namespace.run(() => openIpip(THERE));
  t.teardown(() => libc.close(sender.fd));
  const drops = new KernelDrops();
  drops.look(watch(sockets));
  send(sender, 0, SENT);
  await until('counted', 5000, () => dropsOf(drops, sockets) >= SENT - HELD_MAX);
  t.equal(sockets[1] && readSocketMemory(sockets[1].fd)?.drops, 0, 'its filter drops nothing');
});
