import t from 'tap';
import { TCP_ACK, TCP_CWR, TCP_ECE, TCP_FIN, TCP_PSH } from '../../src/wire/tcp.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
} from '../../src/wire/virtio-net.ts';
import { balance, makeEgress, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { Random } from '../fuzz/mutate.ts';
import { frame, packet, vxlan } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { cut, essence } from './oracle.ts';
import { Sends } from './sends.ts';
import { Traffic } from './traffic.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

const ROUNDS = 120;
const BURST_MAX = 8;
const SLOT_BYTES = 70_000;
const HEADROOM_BYTES = 64;
const VNET_BYTES = 10;
/** A burst takes some milliseconds at it: too short for CoDel, or for a mark. */
const RATE_BYTES = 100_000_000;

/** A super-packet with random sizes, options and flags, its transport checksum unfinished. */
function superPacket(random: Random, flow: number): { bytes: Uint8Array; gsoBytes: number } {
  const tcp = random.below(3) > 0;
  const tcpOptions = random.below(11) * 4;
  const head = tcp ? 20 + tcpOptions : 8;
  const gsoBytes = 60 + random.below(random.below(2) === 0 ? 100 : 1300);
  const size = 1 + random.below(Math.min(60_000, gsoBytes * 100));
  const payload = new Uint8Array(head + size);
  const view = viewOf(payload);
  for (let at = 0; at < payload.length; at++) payload[at] = random.next() & 255;
  view.setUint16(0, 2000 + flow);
  view.setUint16(2, 80);
  if (tcp) {
    const flags = [0, TCP_PSH, TCP_FIN | TCP_PSH, TCP_CWR, TCP_CWR | TCP_ECE | TCP_FIN];
    view.setUint16(12, (head << 10) | TCP_ACK | random.pick(flags));
  } else {
    view.setUint16(4, payload.length);
  }
  const bytes = packet({
    protocol: tcp ? 6 : 17,
    payload: Buffer.from(payload).toString('hex'),
    options: random.below(4) === 0 ? '01010100' : '',
    tos: random.pick([0, 0, 2, 3, 0xb8]),
    checksumAt: -1,
  });
  viewOf(bytes).setUint16(4, random.next() & 0xffff);
  return { bytes, gsoBytes };
}

/** An IPv4 packet's flow: addresses, protocol and ports. */
function flowOf(bytes: Uint8Array): string {
  const l4 = ((bytes[0] ?? 0) & 15) * 4;
  return Buffer.from([
    ...bytes.subarray(12, 20),
    bytes[9] ?? 0,
    ...bytes.subarray(l4, l4 + 4),
  ]).toString('hex');
}

/** Packets of each flow in order; PSH and identification count here too. */
function group(list: readonly { flow: string; wire: string }[]): Record<string, string[]> {
  const flows: Record<string, string[]> = {};
  for (const { flow, wire } of list) {
    const known = flows[flow] ?? [];
    known.push(wire);
    flows[flow] = known;
  }
  return flows;
}

for (const encap of ['Vxlan', 'Fou', 'Ipip'] as const) {
  t.test(`${encap}: what is sent is what the oracle would send`, async (t) => {
    const { arena, layout, peers, ports, link, endpoint } = makeRig(encap, true, RIG.sender);
    link.innerMtu = 1450;
    const egress = makeEgress({ arena, layout, peers });
    const slots = arena.allocate(BURST_MAX * SLOT_BYTES);
    const sends = new Sends({ arena, ports });
    t.teardown(() => sends.restore());
    const firstSeed = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
    const shim = encap === 'Vxlan' ? 8 : 0;
    const innerAt = shim + (encap === 'Vxlan' ? 14 : 0);
    let datagrams = 0;
    let waited = 0;
    let nowMs = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const seed = (firstSeed + round) >>> 0;
      const random = new Random(seed);
      const traffic = new Traffic(random);
      const wanted: { flow: string; wire: string }[] = [];
      sends.sent.length = 0;
      link.counters.fill(0);
      endpoint.segment = encap !== 'Ipip' && random.below(4) > 0;
      // With a rate most of it waits, and leaves as the same.
      link.rateBytes = random.below(2) === 0 ? 0 : RATE_BYTES;
      egress.queues.nextBurst(nowMs);
      for (let index = 0; index < 1 + random.below(BURST_MAX); index++) {
        const isSuper = random.below(3) > 0;
        const one = isSuper ? superPacket(random, index) : { bytes: traffic.next(), gsoBytes: 0 };
        // Who asks to hear of a short wait (ECT(1)) would be told of this one by a mark.
        if (link.rateBytes !== 0 && ((one.bytes[1] ?? 0) & 3) === 1) continue;
        const inner = encap === 'Vxlan' ? frame(one.bytes) : one.bytes;
        const at = slots + index * SLOT_BYTES + HEADROOM_BYTES;
        const l4 = innerAt - shim + ((one.bytes[0] ?? 0) & 15) * 4;
        const tcp = one.bytes[9] === 6;
        const type = tcp ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_UDP_L4;
        const flags = isSuper ? VIRTIO_NEEDS_CSUM : 0;
        const start = at - VNET_BYTES;
        emitVirtioNet(arena.view, start, flags, l4, tcp ? 16 : 6);
        setVirtioGso(arena.view, start, isSuper ? type : 0, 0, one.gsoBytes);
        arena.bytes.set(inner, at);
        egress.packet(link, at, inner.length);
        const segments = isSuper ? cut(one.bytes, one.gsoBytes) : [one.bytes];
        for (const segment of segments) {
          if (segment.length > link.innerMtu) continue;
          const whole = encap === 'Vxlan' ? vxlan(frame(segment)) : segment;
          wanted.push({ flow: flowOf(segment), wire: Buffer.from(whole).toString('hex') });
        }
      }
      egress.flush();
      waited += egress.queues.waiting;
      for (; egress.queues.waiting > 0; nowMs += 0.5) egress.queues.release(nowMs);
      const met = sends.sent.map(({ bytes }) => {
        return { flow: flowOf(bytes.subarray(innerAt)), wire: bytes.toString('hex') };
      });
      datagrams += met.length;
      const [a, b] = [group(met), group(wanted)];
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
        const index = (b[key] ?? []).findIndex((wire, place) => wire !== a[key]?.[place]);
        if (index < 0 && a[key]?.length === b[key]?.length) continue;
        const head = (hex = ''): string => `${hex.length / 2} bytes ${hex.slice(0, 200)}`;
        t.fail(
          `FANWAY_FUZZ_SEED=${seed}, flow ${key}, packet ${index} of ${b[key]?.length}, met ${a[key]?.length}:\n` +
            ` met ${head(a[key]?.[index])}\n for ${head(b[key]?.[index])}`,
        );
        return;
      }
      for (const { peer, tos, bytes } of sends.sent) {
        if (peer !== RIG.receiver) t.fail(`to another peer, seed ${seed}`);
        // Pipe mode: our own DSCP, the inner packet's ECN.
        if (tos !== ((bytes[innerAt + 1] ?? 0) & 3)) t.fail(`TOS ${tos}, seed ${seed}`);
      }
      if (balance(link.counters, 'egress') !== 0) t.fail(`balance, seed ${seed}`);
    }
    t.ok(datagrams > ROUNDS * 10, `${datagrams} datagrams`);
    t.ok(waited > ROUNDS * 5, `${waited} of them waited for the rate`);
  });
}

t.test('the oracle itself is whole', async (t) => {
  const { bytes, gsoBytes } = superPacket(new Random(1), 0);
  const segments = cut(bytes, gsoBytes);
  t.ok(segments.length > 1);
  t.equal(new Set(segments.map(essence)).size, segments.length);
});
