import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { balance, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { Random } from '../fuzz/mutate.ts';
import { nameOf } from '../support/peers.ts';
import { FAN } from '../vectors/craft.ts';
import { byFlow, DeviceFile, difference } from './device-file.ts';
import { Traffic } from './traffic.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

const ROUNDS = 80;
const BATCHES = 4;
const BATCH_MAX = 64;
const BUFFER_BYTES = 2048;

for (const vnet of [true, false]) {
  const what = vnet ? 'with' : 'without';
  t.test(`${what} virtio-net header every flow arrives whole and in order`, async (t) => {
    const device = new DeviceFile(vnet, 0);
    t.teardown(() => device.close());
    const { arena, layout, link, endpoint, counters } = makeRig(
      'Fou',
      vnet,
      RIG.receiver,
      device.fd,
    );
    const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
    const ingress = new Ingress(arena, coalescer, [link]);
    const buffers = arena.allocate(BATCH_MAX * BUFFER_BYTES);
    const firstSeed = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
    let supers = 0;
    let sent = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const seed = (firstSeed + round) >>> 0;
      const random = new Random(seed);
      const traffic = new Traffic(random);
      const packets: Uint8Array[] = [];
      device.empty();
      link.counters.fill(0);
      for (let batch = 0; batch < BATCHES; batch++) {
        const count = 1 + random.below(BATCH_MAX);
        for (let index = 0; index < count; index++) {
          const bytes = traffic.next();
          const buffer = buffers + index * BUFFER_BYTES;
          packets.push(bytes);
          arena.bytes.set(bytes, buffer);
          ingress.message(endpoint, buffer, bytes.length, nameOf(arena, FAN.sender), 0, 0);
        }
        coalescer.flush();
      }
      const arrived = device.packets();
      sent += packets.length;
      supers += counters()['event.super_packets_out'] ?? 0;
      const parted = difference(byFlow(arrived), byFlow(packets));
      if (parted !== '') {
        t.fail(`FANWAY_FUZZ_SEED=${seed}: ${parted}`);
        return;
      }
      if (counters()['ingress.delivered'] !== packets.length) t.fail(`counted wrong: seed ${seed}`);
      if (balance(link.counters, 'ingress') !== 0) t.fail(`balance: seed ${seed}`);
    }
    t.ok(sent > 5000, `${sent} packets`);
    if (vnet) t.ok(supers > sent / 100, `${supers} super-packets`);
    else t.equal(supers, 0, 'no super-packet');
  });
}
