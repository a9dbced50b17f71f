/** A router that is behind: who sends little goes first, nobody's packets overtake each other, the rest is bounded. */
import { closeSync, openSync } from 'node:fs';
import t, { type Test } from 'tap';
import { MMSGHDR_BYTES, MMSGHDR_LENGTH, MSGHDR } from '../../../src/dataplane/ground/arena.ts';
import { emitSockaddr, SOCKADDR_BYTES } from '../../../src/dataplane/ground/sockaddr.ts';
import { Coalescer } from '../../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../../src/dataplane/ingress/ingress.ts';
import { Receiver } from '../../../src/dataplane/ingress/receive.ts';
import { CatchUp } from '../../../src/dataplane/pace/catch-up.ts';
import { Backlog } from '../../../src/dataplane/queue/backlog.ts';
import { FLOW_BUCKETS, LooseFlow } from '../../../src/dataplane/queue/loose-flow.ts';
import { EAGAIN } from '../../../src/sys/libc/constants.ts';
import { balance, makeEgress, makeRig, RIG, type Rig } from '../../fuzz/dataplane-rig.ts';
import { FAN, frame, packet, vxlan } from '../../vectors/craft.ts';
import { Sends } from '../sends.ts';

const FLOWS = 20;
/** With it the flows of these tests have buckets of their own: two that share one are like one flow. */
const SEED = 12_345;
/** Time stands: what a turn comes to does not depend on how busy the machine is. */
const still = () => 0;
/** Of the inner packet: behind IP and UDP, where the tests put a number. */
const NUMBER_OFFSET = 28;
const SHIM_BYTES = 8;
const ETHERNET_BYTES = 14;

/** A datagram of a flow, with its number in the flow. */
function datagram(flow: number, number: number): Uint8Array<ArrayBuffer> {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  const payload = `${hex(40_000 + flow, 4)} 0035 0010 0000 ${hex(number, 8)} 00000000`;
  return frame(packet({ payload }));
}

/** The flow and the number of a frame that {@link datagram} made. */
function read(bytes: Uint8Array): { flow: number; number: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ip = ETHERNET_BYTES;
  return { flow: view.getUint16(ip + 20) - 40_000, number: view.getUint32(ip + NUMBER_OFFSET) };
}

/** What each flow sent, in the order of `frames`. */
function numbersOf(frames: readonly Uint8Array[]): Map<number, number[]> {
  const numbers = new Map<number, number[]>();
  for (const { flow, number } of frames.map(read)) {
    numbers.set(flow, [...(numbers.get(flow) ?? []), number]);
  }
  return numbers;
}

function countUp(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** A sender whose device has these frames, the first first, and what it sends. */
function deviceWith(t: Test, waiting: Uint8Array[]) {
  const rig = makeRig('Vxlan', false, RIG.sender);
  const { arena, ports, link } = rig;
  ports.read = (at) => {
    const next = waiting.shift();
    if (next === undefined) return -EAGAIN;
    arena.bytes.set(next, at);
    return next.length;
  };
  const egress = makeEgress({ ...rig, seed: SEED, clock: still });
  const sends = new Sends(rig);
  t.teardown(() => sends.restore());
  return { rig, link, egress, sends };
}

t.test(
  'a device with a flood in it: the one packet behind it is sent in the same turn',
  async (t) => {
    const each = 50;
    const flood = countUp(each).flatMap((n) => countUp(FLOWS).map((flow) => datagram(flow, n)));
    const waiting = [...flood, datagram(FLOWS, 0)];
    const { rig, link, egress, sends } = deviceWith(t, waiting);
    const frames = () => sends.sent.map(({ bytes }) => bytes.subarray(SHIM_BYTES));
    egress.readBurst(link, 1);
    t.equal(waiting.length, 0, 'the device is empty');
    t.ok(numbersOf(frames()).has(FLOWS), 'whoever sends little is on the way');
    t.ok(egress.backlog > flood.length / 2, `${egress.backlog} of the flood wait`);
    let turns = 0;
    for (; egress.backlog > 0; turns++) t.ok(egress.release(2) <= 64, 'a burst a turn');
    t.ok(turns > 10, `${turns} turns`);
    const numbers = numbersOf(frames());
    for (const flow of countUp(FLOWS)) t.same(numbers.get(flow), countUp(each), `flow ${flow}`);
    t.equal(rig.counters()['egress.received'], flood.length + 1);
    t.equal(balance(link.counters, 'egress'), 0);
  },
);

t.test(
  'where much comes, flows that send much are held for a moment and leave together',
  async (t) => {
    const waiting: Uint8Array[] = [];
    const { link, egress, sends } = deviceWith(t, waiting);
    const flows = 4;
    let number = 0;
    const flood = (each: number) => {
      for (const n of countUp(each)) {
        for (const flow of countUp(flows)) waiting.push(datagram(flow, number + n));
      }
      number += each;
    };
    egress.held.gathers = true;
    // Two rounds: in the first one nobody knows who sends much.
    for (const nowMs of [10, 12]) {
      flood(4);
      egress.readBurst(link, nowMs);
    }
    t.equal(egress.backlog, flows * 4);
    t.equal(sends.sent.length, flows * 4, 'what came first has gone');
    flood(4);
    waiting.push(datagram(FLOWS, 0));
    egress.readBurst(link, 13);
    t.equal(sends.sent.length, flows * 4 + 1, 'who sends little is not held');
    t.equal(egress.backlog, flows * 8);
    t.equal(egress.held.isDue(13.5), false);
    t.ok(
      egress.held.dueMs(13.5) > 0 && egress.held.dueMs(13.5) < 2,
      `${egress.held.dueMs(13.5)} ms left`,
    );
    t.equal(egress.held.isDue(14), true, 'for a moment only');
    egress.release(14);
    t.equal(egress.backlog, 0);
    const frames = sends.sent.map(({ bytes }) => bytes.subarray(SHIM_BYTES));
    const numbers = numbersOf(frames);
    for (const flow of countUp(flows)) t.same(numbers.get(flow), countUp(12), `flow ${flow}`);
    const last = frames.slice(-8).map(read);
    t.same(new Set(last.map(({ flow }) => flow)).size, 1, 'those of one flow side by side');
    flood(100);
    egress.readBurst(link, 20);
    t.equal(egress.held.isDue(20), true, 'no longer than there is much of it');
    while (egress.held.isDue(20)) egress.release(20);
    t.equal(egress.takeSmall(), flows * 112 + 1);
    t.equal(egress.takeSmall(), 0);
    t.equal(balance(link.counters, 'egress'), 0);
  },
);

t.test('frames that wait go with their link, and there is room for others', async (t) => {
  const rig = makeRig('Vxlan', true, RIG.sender);
  const { arena, ports, link } = rig;
  let left = 0;
  const made = countUp(FLOWS).map((flow) => datagram(flow, 0));
  ports.read = (at) => {
    if (left-- <= 0) return -EAGAIN;
    const one = made[left % FLOWS] ?? new Uint8Array();
    arena.bytes.fill(0, at, at + 10);
    arena.bytes.set(one, at + 10);
    return one.length + 10;
  };
  const egress = makeEgress({ ...rig, seed: SEED, clock: still });
  const sends = new Sends(rig);
  t.teardown(() => sends.restore());
  for (let round = 0; round < 10; round++) {
    left = 20_000;
    for (let turn = 0; turn < 40; turn++) egress.readBurst(link, 1);
    t.ok(left > 0 && egress.backlog > 1000, `${egress.backlog} wait, the device keeps the rest`);
    const counted = rig.counters();
    t.ok((counted['egress.drop.overload'] ?? 0) > 1000, 'and who waits longest was given up');
    egress.forgetLink(link.id);
    t.equal(egress.backlog, 0);
  }
  t.equal(balance(link.counters, 'egress'), 0);
});

t.test(
  'whatever waits already, a packet behind it in the device is sent within a few turns',
  async (t) => {
    const waiting: Uint8Array[] = [];
    const { rig, link, egress, sends } = deviceWith(t, waiting);
    const made = countUp(FLOWS).map((flow) => datagram(flow, 0));
    const flood = (count: number) => {
      for (let i = 0; i < count; i++) waiting.push(made[i % FLOWS] ?? new Uint8Array());
    };
    flood(6000);
    while (waiting.length > 0) egress.readBurst(link, 1);
    const full = egress.backlog;
    t.ok(full > 3500, `${full} wait`);
    flood(1000);
    waiting.push(datagram(FLOWS, 0));
    sends.sent.length = 0;
    let turns = 0;
    for (; waiting.length > 0 && turns < 100; turns++) {
      egress.readBurst(link, 2);
      egress.release(2);
    }
    t.ok(turns <= 6, `${turns} turns`);
    const numbers = numbersOf(sends.sent.map(({ bytes }) => bytes.subarray(SHIM_BYTES)));
    t.same(numbers.get(FLOWS), [0], 'it did not wait for them');
    t.equal(balance(link.counters, 'egress'), 0);
    t.equal((rig.counters()['egress.received'] ?? 0) + egress.backlog, 7001, 'each has one end');
  },
);

/** Ingress with a device that swallows everything, and a socket whose datagrams a test makes. */
function makeReceiver(rig: Rig, written: Uint8Array[]) {
  const { arena, layout, link, ports } = rig;
  const { view, bytes } = arena;
  const offsetOf = (at: number) =>
    view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000 - arena.base;
  ports.write = (iovec, count) => {
    const pieces = countUp(count).map((i) => {
      const at = offsetOf(iovec + i * 16);
      return Buffer.from(bytes.subarray(at, at + view.getUint32(iovec + i * 16 + 8, true)));
    });
    const whole = Buffer.concat(pieces);
    written.push(whole);
    return whole.length;
  };
  const socket: Uint8Array[] = [];
  ports.receive = (_, messages, count) => {
    let taken = 0;
    for (; taken < count && socket.length > 0; taken++) {
      const datagram = socket.shift() ?? new Uint8Array();
      const at = messages + taken * MMSGHDR_BYTES;
      bytes.set(datagram, offsetOf(offsetOf(at + MSGHDR.IOV)));
      emitSockaddr(view, offsetOf(at + MSGHDR.NAME), FAN.sender, 40_000);
      view.setUint32(at + MSGHDR.CONTROL_LENGTH, 0, true);
      view.setUint32(at + MMSGHDR_LENGTH, datagram.length, true);
    }
    return taken > 0 ? taken : -EAGAIN;
  };
  const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
  const ingress = new Ingress(arena, coalescer, [link]);
  return { receiver: new Receiver(arena, layout, ingress, SEED, still), socket };
}

t.test(
  'a socket with a flood in it: the one packet behind it is delivered in the same turn',
  async (t) => {
    const deviceFd = openSync('/dev/null', 'w');
    t.teardown(() => closeSync(deviceFd));
    const rig = makeRig('Vxlan', false, RIG.receiver, deviceFd);
    const written: Uint8Array[] = [];
    const { receiver, socket } = makeReceiver(rig, written);
    const each = 40;
    for (const n of countUp(each)) {
      for (const flow of countUp(FLOWS)) socket.push(vxlan(datagram(flow, n)));
    }
    socket.push(vxlan(datagram(FLOWS, 0)));
    const told: boolean[] = [];
    const nobody = {
      held: { isEmpty: true, gathers: false, isDue: () => false, dueMs: () => 0 },
      ...{ release: () => 0, takeSmall: () => 0 },
    };
    const catchUp = new CatchUp(nobody, receiver.sort, {
      ...{ lasts: (isBehind) => told.push(isBehind), moved: () => undefined },
    });
    receiver.receiveBurst(rig.endpoint, -1, 1);
    t.equal(socket.length, 0, 'the socket is empty');
    t.ok(numbersOf(written).has(FLOWS), 'whoever sends little has arrived');
    t.ok(receiver.backlog > 500, `${receiver.backlog} of the flood wait`);
    catchUp.look(1);
    catchUp.note(1);
    catchUp.note(3);
    t.same(told, [], 'that is no more than a late wake-up');
    catchUp.note(7);
    t.same(told, [true], 'it lasts');
    for (let nowMs = 8; catchUp.isBehind; nowMs++) {
      catchUp.release(nowMs);
      catchUp.note(nowMs);
    }
    const numbers = numbersOf(written);
    for (const flow of countUp(FLOWS)) t.same(numbers.get(flow), countUp(each), `flow ${flow}`);
    t.equal(rig.counters()['ingress.delivered'], each * FLOWS + 1);
    t.equal(balance(rig.link.counters, 'ingress'), 0);
    catchUp.note(200);
    t.same(told, [true], 'a flood has pauses');
    catchUp.note(1000);
    t.same(told, [true, false], 'it is over');
  },
);

t.test('who keeps up because it was raised stays raised until less comes', async (t) => {
  const told: boolean[] = [];
  let isDue = true;
  let came = 0;
  const none = { isEmpty: true, gathers: false, isDue: () => false, dueMs: () => 0 };
  const held = { ...none, isEmpty: false, isDue: () => isDue };
  const egress = { held, release: () => 0, takeSmall: () => came };
  const ingress = { held: none, release: () => 0, takeSmall: () => 0 };
  const catchUp = new CatchUp(egress, ingress, {
    ...{ lasts: (isBehind) => told.push(isBehind), moved: () => undefined },
  });
  let nowMs = 0;
  const go = (ms: number, each: number): void => {
    came = each;
    for (const endMs = nowMs + ms; nowMs < endMs; nowMs++) {
      catchUp.look(nowMs);
      catchUp.note(nowMs);
    }
  };
  go(100, 200);
  t.same(told, [true]);
  isDue = false;
  go(3000, 120);
  t.same(told, [true], 'as many would be too many again');
  go(200, 90);
  t.same(told, [true]);
  go(300, 90);
  t.same(told, [true, false], 'less than half of it is no longer');
  go(1000, 200);
  t.same(told, [true, false], 'what nobody has fallen behind with does not count');
});

/** One that delivers to a test, packet by packet. */
class Delivered {
  readonly frames: Uint8Array[] = [];
  readonly #rig: Rig;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  message(_: unknown, at: number, length: number, source: number, tos: number, size: number): void {
    const { bytes, view } = this.#rig.arena;
    if (view.getUint32(source + 4) !== FAN.sender || tos !== 3) throw new Error('of another');
    const step = size > 0 ? size : length;
    for (let from = at; from < at + length; from += step) {
      const end = Math.min(from + step, at + length);
      this.frames.push(Uint8Array.from(bytes.subarray(from + SHIM_BYTES, end)));
    }
  }

  begin(): void {}

  flush(): void {}
}

t.test(
  'trains are taken apart, and what there is no room for is the oldest, and counted',
  async (t) => {
    const rig = makeRig('Vxlan', false, RIG.receiver);
    const { arena, endpoint } = rig;
    const delivered = new Delivered(rig);
    const backlog = new Backlog(arena, delivered, SEED, still);
    const at = arena.allocate(4096);
    const source = arena.allocate(SOCKADDR_BYTES);
    emitSockaddr(arena.view, source, FAN.sender, 40_000);
    const sort = (pieces: readonly Uint8Array[]) => {
      const train = Buffer.concat(pieces);
      arena.bytes.set(train, at);
      backlog.sort(at, train.length, source, 3, pieces.length > 1 ? (pieces[0]?.length ?? 0) : 0);
    };
    const trains = 1500;
    backlog.begin(endpoint, -1, 1);
    for (const n of countUp(trains)) {
      // Flow 0 floods, and each train has one packet of some other flow at another place.
      const pieces = countUp(8).map((i) => vxlan(datagram(0, n * 8 + i)));
      const other = n < 20 ? vxlan(datagram(1 + n, 0)) : vxlan(datagram(0, 8 * trains + n));
      pieces.splice(n % 9, 0, other);
      sort(pieces);
    }
    const first = numbersOf(delivered.frames);
    for (const flow of countUp(20)) t.same(first.get(1 + flow), [0], `flow ${1 + flow} goes first`);
    t.equal(first.get(0)?.length, 4, 'the flood has as many as a round gives a flow');
    t.ok(backlog.packets <= 8200, `${backlog.packets} wait`);
    const waiting = backlog.packets;
    const lost = rig.counters()['ingress.drop.overload'] ?? 0;
    t.equal(delivered.frames.length + waiting + lost, trains * 9, 'each packet has one end');
    t.equal(rig.counters()['ingress.received'], lost);
    let released = 0;
    while (backlog.packets > 0) released += backlog.release(1);
    t.equal(released, waiting);
    const rest = delivered.frames.slice(-waiting).map(read);
    t.equal(rest.at(-1)?.number, 8 * trains - 1, 'the newest was kept');
    backlog.begin(endpoint, -1, 1);
    delivered.frames.length = 0;
    sort([vxlan(datagram(0, 7))]);
    t.equal(delivered.frames.length, 1, 'nothing of it waits any more, so it goes at once');
    backlog.gathers = true;
    for (const nowMs of [10, 12]) {
      backlog.begin(endpoint, -1, nowMs);
      delivered.frames.length = 0;
      for (const n of countUp(4)) sort([vxlan(datagram(0, n))]);
      sort([vxlan(datagram(1, 0))]);
    }
    t.same(numbersOf(delivered.frames).get(1), [0], 'who sends little is not held');
    t.equal(backlog.packets, 4, 'who sends much is');
    t.equal(backlog.isDue(13), false);
    t.equal(backlog.isDue(14), true, 'for a moment');
    backlog.release(14);
    t.same(numbersOf(delivered.frames).get(0), [0, 1, 2, 3]);
    t.equal(backlog.isDue(15), false);
  },
);

t.test('a turn ends by the clock where packets take long', async (t) => {
  let nowMs = 0;
  // A look at the clock, once for sixteen packets, tells that they took 0.2 ms.
  const clock = () => {
    nowMs += 0.2;
    return nowMs;
  };
  const rig = makeRig('Vxlan', false, RIG.receiver);
  const { arena, endpoint } = rig;
  const backlog = new Backlog(arena, new Delivered(rig), SEED, clock);
  const at = arena.allocate(4096);
  const source = arena.allocate(SOCKADDR_BYTES);
  emitSockaddr(arena.view, source, FAN.sender, 40_000);
  backlog.begin(endpoint, -1, 1);
  for (const n of countUp(200)) {
    const one = vxlan(datagram(0, n));
    arena.bytes.set(one, at);
    backlog.sort(at, one.length, source, 3, 0);
  }
  const all = backlog.packets;
  t.equal(backlog.release(1), 32);
  t.equal(backlog.packets, all - 32);
});

t.test('whatever the bytes are, a packet has a bucket, and a flow always the same', async (t) => {
  const bytes = new Uint8Array(4096);
  const flows = new LooseFlow(new DataView(bytes.buffer), SEED);
  for (const fill of [0, 0x45, 0x60, 0xff]) {
    bytes.fill(fill);
    for (const headerBytes of [0, ETHERNET_BYTES]) {
      for (let length = 0; length < 80; length++) {
        const bucket = flows.bucketOf(64, length, headerBytes);
        if (!(bucket >= 0 && bucket < FLOW_BUCKETS)) t.fail(`${fill}, ${length}: ${bucket}`);
      }
    }
  }
  const bucketOf = (one: Uint8Array, place: number) => {
    bytes.set(one, place);
    return flows.bucketOf(place, one.length, ETHERNET_BYTES);
  };
  t.equal(bucketOf(datagram(3, 1), 100), bucketOf(datagram(3, 2), 700));
  const buckets = new Set(countUp(200).map((flow) => bucketOf(datagram(flow, 0), 0)));
  t.ok(buckets.size > 180, `${buckets.size} buckets of 200 flows`);
});
