import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Coalescer } from '../../src/dataplane/coalesce.ts';
import { Ingress } from '../../src/dataplane/ingress.ts';
import { checkIpv4Exact } from '../../src/wire/classify.ts';
import { getIpv4TotalBytes, isIpv4ChecksumRight } from '../../src/wire/ipv4.ts';
import { TCP_ACK, TCP_FIN, TCP_PSH } from '../../src/wire/tcp.ts';
import {
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
} from '../../src/wire/virtio-net.ts';
import { balance, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { Random } from '../fuzz/mutate.ts';
import { FAN, packet } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { cut, essence, finishPacket } from './oracle.ts';

const VNET_BYTES = 10;
const BUFFER_BYTES = 2048;
const BATCH_MAX = 64;

/** One flow of the generator: what the next packet continues from. */
type Flow = {
  tcp: boolean;
  port: number;
  sequence: number;
  id: number;
  size: number;
  df: boolean;
  options: number;
};

/** Makes streams that mostly run in order, with every accident that a network has. */
class Traffic {
  readonly #random: Random;
  readonly #flows: Flow[];

  constructor(random: Random) {
    this.#random = random;
    this.#flows = Array.from({ length: 1 + random.below(4) }, (_, index) => ({
      tcp: random.below(3) > 0,
      port: 1000 + index,
      sequence: random.below(4) === 0 ? 0xfffff000 : random.next(),
      id: random.next() & 0xffff,
      size: 1 + random.below(random.below(2) === 0 ? 40 : 1300),
      df: random.below(3) > 0,
      options: random.below(2) * 12,
    }));
  }

  next(): Uint8Array {
    const random = this.#random;
    const flow = random.pick(this.#flows);
    const accident = random.below(24);
    if (accident === 0) flow.sequence = (flow.sequence + random.below(5000)) >>> 0;
    if (accident === 1) flow.id = random.next() & 0xffff;
    if (accident === 2) flow.size = 1 + random.below(1300);
    const size = accident === 3 ? 1 + random.below(flow.size) : accident === 4 ? 0 : flow.size;
    const head = flow.tcp ? 20 + flow.options : 8;
    const payload = new Uint8Array(head + size);
    const view = viewOf(payload);
    for (let at = head; at < payload.length; at++) payload[at] = random.next() & 255;
    view.setUint16(0, flow.port);
    view.setUint16(2, 80);
    if (flow.tcp) {
      view.setUint32(4, flow.sequence);
      view.setUint32(8, accident === 5 ? 2 : 1);
      const extra = accident === 6 ? TCP_FIN : accident < 9 ? TCP_PSH : 0;
      view.setUint16(12, (head << 10) | TCP_ACK | extra);
      view.setUint16(14, accident === 9 ? 1000 : 2000);
      if (flow.options > 0) view.setUint32(20, 0x0101080a);
      if (flow.options > 0) view.setUint32(24, accident === 10 ? 8 : 7);
      flow.sequence = (flow.sequence + size) >>> 0;
    } else {
      view.setUint16(4, payload.length);
    }
    const bytes = packet({
      protocol: flow.tcp ? 6 : 17,
      payload: Buffer.from(payload).toString('hex'),
      tos: accident === 11 ? 2 : 0,
      ttl: accident === 12 ? 9 : 64,
      fragment: flow.df ? 0x4000 : 0,
    });
    viewOf(bytes).setUint16(4, flow.id);
    flow.id = (flow.id + 1) & 0xffff;
    finishPacket(bytes);
    return bytes;
  }
}

/** Packets in a device's file: virtio-net header and packet, one after the other, cut by the oracle. */
function written(file: Buffer, vnet: boolean, fail: (why: string) => void): Uint8Array[] {
  const packets: Uint8Array[] = [];
  const vnetBytes = vnet ? VNET_BYTES : 0;
  for (let at = 0; at < file.length; ) {
    const view = new DataView(file.buffer, file.byteOffset + at);
    const bytes = getIpv4TotalBytes(view, vnetBytes);
    const whole = file.subarray(at + vnetBytes, at + vnetBytes + bytes);
    if (checkIpv4Exact(viewOf(whole), 0, whole.length) !== 0) fail('a length that lies');
    if (!isIpv4ChecksumRight(viewOf(whole), 0)) fail('a wrong header checksum');
    const type = vnet ? getVirtioGsoType(view, 0) : VIRTIO_GSO_NONE;
    if (type === VIRTIO_GSO_NONE) {
      packets.push(whole);
    } else {
      const wanted = whole[9] === 6 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_UDP_L4;
      if (type !== wanted) fail(`GSO type ${type} for protocol ${whole[9]}`);
      if ((getVirtioFlags(view, 0) & VIRTIO_NEEDS_CSUM) === 0) fail('no NEEDS_CSUM');
      packets.push(...cut(whole, getVirtioGsoBytes(view, 0)));
    }
    at += vnetBytes + bytes;
  }
  return packets;
}

/** Packets by flow, in order, without what may change. */
function byFlow(packets: readonly Uint8Array[]): Record<string, string[]> {
  const flows: Record<string, string[]> = {};
  for (const bytes of packets) {
    const key = `${bytes[9]}:${viewOf(bytes).getUint16(20)}`;
    const list = flows[key] ?? [];
    list.push(essence(bytes));
    flows[key] = list;
  }
  return flows;
}

/** Lengths and a few bytes at the end tell packets apart well enough to be read. */
function short(flows: Record<string, string[]>): Record<string, string[]> {
  const entries = Object.entries(flows).map(([key, list]) => {
    return [key, list.map((hex) => `${hex.length / 2} ${hex.slice(0, 16)} ${hex.slice(-8)}`)];
  });
  return Object.fromEntries(entries);
}

for (const vnet of [true, false]) {
  t.test(
    `${vnet ? 'with' : 'without'} virtio-net header every flow arrives whole and in order`,
    async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'fanway-coalesce-'));
      const path = join(folder, 'device');
      writeFileSync(path, '');
      const fd = openSync(path, 'a');
      t.teardown(() => {
        closeSync(fd);
        rmSync(folder, { recursive: true });
      });
      const { arena, layout, link, endpoint, counters } = makeRig('Fou', vnet, RIG.receiver, fd);
      const coalescer = new Coalescer(arena, layout);
      const ingress = new Ingress(arena, layout, coalescer, [link]);
      const buffers = arena.allocate(BATCH_MAX * BUFFER_BYTES);
      const firstSeed = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
      let supers = 0;
      let sent = 0;
      for (let round = 0; round < 150; round++) {
        const seed = (firstSeed + round) >>> 0;
        const random = new Random(seed);
        const traffic = new Traffic(random);
        const packets: Uint8Array[] = [];
        writeFileSync(path, '');
        link.counters.fill(0);
        for (let batch = 0; batch < 4; batch++) {
          const count = 1 + random.below(BATCH_MAX);
          for (let index = 0; index < count; index++) {
            const bytes = traffic.next();
            packets.push(bytes);
            arena.bytes.set(bytes, buffers + index * BUFFER_BYTES);
            ingress.message(
              endpoint,
              buffers + index * BUFFER_BYTES,
              bytes.length,
              FAN.sender,
              0,
              0,
              false,
            );
          }
          coalescer.flush();
        }
        const arrived = written(readFileSync(path), vnet, (why) => t.fail(`${why}: seed ${seed}`));
        sent += packets.length;
        supers += counters()['event.super_packets_out'] ?? 0;
        const wanted = byFlow(packets);
        const whole = Object.entries(byFlow(arrived)).every(
          ([key, list]) => list.join() === wanted[key]?.join(),
        );
        if (!whole || arrived.length !== packets.length) {
          t.same(short(byFlow(arrived)), short(wanted), `FANWAY_FUZZ_SEED=${seed}`);
          return;
        }
        if (counters()['ingress.delivered'] !== packets.length)
          t.fail(`counted wrong: seed ${seed}`);
        if (balance(link.counters, 'ingress') !== 0) t.fail(`balance: seed ${seed}`);
      }
      t.ok(sent > 10_000, `${sent} packets`);
      if (vnet) t.ok(supers > sent / 100, `${supers} super-packets`);
      else t.equal(supers, 0, 'no super-packet');
    },
  );
}
