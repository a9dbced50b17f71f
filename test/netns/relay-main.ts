/**
 * The relay's process: copies Ethernet frames between the two ports it is given (packet(7)) and
 * impairs them on the way. Started by relay.ts inside the middle namespace of a wired lab; works
 * for VXLAN, FOU and IPIP alike, since it looks at nothing but the ethertype. Checksums are never
 * recomputed: a turned bit must be caught by whoever receives it.
 *
 * argv[2]: JSON of RelayStart. stdin: one JSON of RelayChange a line. SIGTERM: statistics, end.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { addressOf, check, errno, errnoName, libc } from '../../src/sys/libc/libc.ts';
import { decide, generator, type Impairment, NO_IMPAIRMENT } from './impair.ts';
import type { RelayChange, RelayStart, RelayStatistics } from './relay.ts';

if (process.argv[2]?.startsWith('{')) run(JSON.parse(process.argv[2]) as RelayStart);

function run(start: RelayStart): void {
  const AF_PACKET = 17;
  const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
  const ETH_P_ALL = 3;
  const SOL_PACKET = 263;
  const PACKET_IGNORE_OUTGOING = 23;
  const ETHERTYPE_IPV4 = 0x0800;
  const POLLIN = 1;
  const FRAME_BYTES_MAX = 65_550;
  const FRAMES_PER_TURN = 64;
  const QUEUE_FRAMES_MAX = 20_000;

  type Held = { due: number; order: number; to: number; frame: Buffer };
  const queue: Held[] = [];
  let order = 0;
  let running = true;
  const log = start.log === undefined ? -1 : openSync(start.log, 'w');
  const frame = Buffer.alloc(FRAME_BYTES_MAX);
  const zero = () => ({
    received: 0,
    dropped: 0,
    duplicated: 0,
    flipped: 0,
    sent: 0,
    overflow: 0,
    longest: 0,
    failed: {} as Record<string, number>,
  });
  const ports = start.ports.map((index, direction) => ({
    socket: openPort(index),
    random: generator(start.seed * 2 + direction),
    impairment: { ...NO_IMPAIRMENT, ...start.impairment } as Impairment,
    statistics: zero(),
  }));
  const polls = new DataView(new ArrayBuffer(8 * ports.length));
  for (const [i, port] of ports.entries()) polls.setInt32(i * 8, port.socket, true);

  function openPort(index: number): number {
    const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8);
    const socket = check('socket', libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, protocol));
    const one = new Uint32Array([1]);
    check(
      'setsockopt',
      libc.setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, addressOf(one), 4),
    );
    const SO_RCVBUFFORCE = 33;
    libc.setsockopt(socket, 1, SO_RCVBUFFORCE, addressOf(new Uint32Array([8 << 20])), 4);
    // struct sockaddr_ll: family, protocol (network order), ifindex, …
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ETH_P_ALL);
    address.setInt32(4, index, true);
    check('bind', libc.bind(socket, addressOf(address), 20));
    return socket;
  }

  function send(to: number, bytes: Buffer, length: number): void {
    const from = ports[1 - to];
    const port = ports[to];
    if (from === undefined || port === undefined) return;
    if (libc.write(port.socket, addressOf(bytes), length) === length) from.statistics.sent++;
    else {
      const name = errnoName(errno());
      from.statistics.failed[name] = (from.statistics.failed[name] ?? 0) + 1;
    }
  }

  function receive(direction: number): boolean {
    const port = ports[direction];
    if (port === undefined) return false;
    for (let i = 0; i < FRAMES_PER_TURN; i++) {
      const length = libc.read(port.socket, addressOf(frame), FRAME_BYTES_MAX);
      if (length <= 0) return false;
      const number = port.statistics.received++;
      port.statistics.longest = Math.max(port.statistics.longest, length);
      const isIpv4 = length > 14 && frame.readUInt16BE(12) === ETHERTYPE_IPV4;
      const decision = decide(port.random, port.impairment, length, isIpv4);
      const { drop, copies, delayMs, flipBit } = decision;
      if (log >= 0 && (drop || copies > 1 || flipBit >= 0 || delayMs > 0)) {
        writeSync(log, `${JSON.stringify({ direction, number, length, ...decision })}\n`);
      }
      if (drop) {
        port.statistics.dropped++;
        continue;
      }
      if (flipBit >= 0) {
        port.statistics.flipped++;
        const at = flipBit >> 3;
        frame.writeUInt8(frame.readUInt8(at) ^ (1 << (flipBit & 7)), at);
      }
      if (copies > 1) port.statistics.duplicated++;
      for (let copy = 0; copy < copies; copy++) {
        if (delayMs === 0) send(1 - direction, frame, length);
        else if (queue.length >= QUEUE_FRAMES_MAX) port.statistics.overflow++;
        else
          hold(performance.now() + delayMs, 1 - direction, Buffer.from(frame.subarray(0, length)));
      }
    }
    return true;
  }

  /** Keeps the queue sorted by time; equal times leave in order of arrival. */
  function hold(due: number, to: number, bytes: Buffer): void {
    const held = { due, order: order++, to, frame: bytes };
    let at = queue.length;
    while (at > 0 && (queue[at - 1]?.due ?? 0) > due) at--;
    queue.splice(at, 0, held);
  }

  function turn(): void {
    if (!running) return;
    const now = performance.now();
    let done = 0;
    for (const held of queue) {
      if (held.due > now) break;
      send(held.to, held.frame, held.frame.length);
      done++;
    }
    queue.splice(0, done);
    // Short sleeps, so that stdin and signals are heard.
    const next = queue[0];
    const wait = next === undefined ? 20 : Math.min(20, Math.max(0, Math.ceil(next.due - now)));
    for (let i = 0; i < ports.length; i++) polls.setInt16(i * 8 + 4, POLLIN, true);
    libc.poll(addressOf(polls), ports.length, wait);
    for (let direction = 0; direction < ports.length; direction++) receive(direction);
    setImmediate(turn);
  }

  const changes = createInterface({ input: process.stdin });
  // A test that was killed takes the relay, and with it the lab's middle, along.
  changes.on('close', () => process.exit(0));
  changes.on('line', (line) => {
    const change = JSON.parse(line) as RelayChange;
    for (const [direction, port] of ports.entries()) {
      if (change.direction !== undefined && change.direction !== direction) continue;
      port.impairment = { ...port.impairment, ...change.impairment };
    }
    writeSync(1, 'changed\n');
  });
  process.on('SIGTERM', () => {
    running = false;
    if (log >= 0) closeSync(log);
    const statistics: RelayStatistics = {
      directions: ports.map((port) => port.statistics),
      held: queue.length,
    };
    writeSync(1, `${JSON.stringify(statistics)}\n`);
    process.exit(0);
  });
  writeSync(1, 'ready\n');
  turn();
}
