import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { ECN_BASE, ingressIndex } from '../../src/table/counters.ts';
import { balance, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { Random } from '../fuzz/mutate.ts';
import { repairIpv4 } from '../fuzz/seeds.ts';
import { nameOf } from '../support/peers.ts';
import { FAN, frame, vxlan } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { byFlow, DeviceFile, difference } from './device-file.ts';
import { Traffic } from './traffic.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

const ROUNDS = 800;
const BUFFER_BYTES = 70_000;
/** Rubbish between datagrams that lie apart. */
const GAP_BYTES = 40;
/** Packet counters of ingress, bytes included. */
const FIRST = ingressIndex('received');
const LAST = ingressIndex('drop.device_error');

/** Datagrams of one length, as a GRO train has them: mostly one flow, some of them broken. */
function makeTrain(random: Random, isVxlan: boolean): Uint8Array[] {
  const traffic = new Traffic(random, 1, random.pick([26, 200]));
  const l3 = isVxlan ? 22 : 0;
  const train: Uint8Array[] = [];
  const count = 2 + random.below(40);
  while (train.length < count) {
    const inner = traffic.next();
    const bytes = isVxlan ? vxlan(frame(inner)) : inner;
    // Only the last one of a train may be shorter.
    const length = train[0]?.length ?? bytes.length;
    if (bytes.length > length) break;
    train.push(bytes);
    if (random.below(12) === 0) {
      const at = random.below(Math.min(bytes.length, l3 + 48));
      bytes[at] =
        random.below(2) === 0 ? random.next() & 255 : (bytes[at] ?? 0) ^ (1 << random.below(8));
      // With its checksums repaired a change must still not slip in between its neighbours.
      if (random.below(2) === 0) repairIpv4(viewOf(bytes), l3, bytes.length - l3);
    }
    if (bytes.length < length) break;
  }
  return train;
}

for (const [encap, vnet] of [
  ['Vxlan', true],
  ['Vxlan', false],
  ['Fou', true],
  ['Fou', false],
] as const) {
  t.test(
    `${encap}, offloads ${vnet ? 'on' : 'off'}: a train ends as its datagrams would one by one`,
    async (t) => {
      const device = new DeviceFile(vnet, encap === 'Vxlan' ? 14 : 0);
      t.teardown(() => device.close());
      const { arena, layout, link, endpoint } = makeRig(encap, vnet, RIG.receiver, device.fd);
      const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
      const ingress = new Ingress(arena, coalescer, [link]);
      const buffer = arena.allocate(BUFFER_BYTES);
      const firstSeed = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
      let datagrams = 0;
      let joined = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const seed = (firstSeed + round) >>> 0;
        const random = new Random(seed);
        const train = makeTrain(random, encap === 'Vxlan');
        const tos = random.pick([0, 0, 0, 1, 2, 3, 0xb8]);
        const segmentBytes = train[0]?.length ?? 0;
        const run = (way: 'alone' | 'train' | 'apart') => {
          device.empty();
          link.counters.fill(0);
          const whole = Buffer.concat(train);
          arena.bytes.fill(0xee, buffer, buffer + BUFFER_BYTES);
          if (way === 'apart') {
            // As a socket without UDP_GRO hands them over: each in a buffer of its own.
            const stride = segmentBytes + GAP_BYTES;
            const alike = train.findLastIndex((bytes) => bytes.length === segmentBytes) + 1;
            for (const [i, bytes] of train.entries()) arena.bytes.set(bytes, buffer + i * stride);
            for (let i = 0; i < train.length; ) {
              const bytes = (train[i] as Uint8Array).length;
              const at = buffer + i * stride;
              ingress.message(endpoint, at, bytes, nameOf(arena, FAN.sender), tos, 0);
              i++;
              if (i < alike) {
                const more = ingress.more(endpoint, at + stride, bytes, stride, alike - i);
                joined += more;
                i += more;
              }
            }
          } else if (way === 'train') {
            arena.bytes.set(whole, buffer);
            ingress.message(
              endpoint,
              buffer,
              whole.length,
              nameOf(arena, FAN.sender),
              tos,
              segmentBytes,
            );
          } else {
            arena.bytes.set(whole, buffer);
            for (let at = 0; at < whole.length; at += segmentBytes) {
              const bytes = Math.min(segmentBytes, whole.length - at);
              ingress.message(endpoint, buffer + at, bytes, nameOf(arena, FAN.sender), tos, 0);
              coalescer.flush();
            }
          }
          coalescer.flush();
          const ends = [
            ...link.counters.subarray(FIRST, LAST + 1),
            ...link.counters.subarray(ECN_BASE, ECN_BASE + 16),
          ];
          // Bytes handed to the device count headers once per super-packet.
          ends[3] = 0;
          return { flows: byFlow(device.packets()), ends, rest: balance(link.counters, 'ingress') };
        };
        const alone = run('alone');
        datagrams += train.length;
        for (const way of ['train', 'apart'] as const) {
          const together = run(way);
          const parted = difference(together.flows, alone.flows);
          if (parted !== '') {
            t.fail(`${way}, FANWAY_FUZZ_SEED=${seed}: ${parted}`);
            return;
          }
          if (together.ends.join() !== alone.ends.join() || together.rest !== 0) {
            t.same(together.ends, alone.ends, `counters, ${way}: FANWAY_FUZZ_SEED=${seed}`);
            return;
          }
        }
      }
      t.ok(datagrams > ROUNDS * 3, `${datagrams} datagrams`);
      if (vnet) t.ok(joined > ROUNDS, `${joined} joined the short way`);
    },
  );
}
