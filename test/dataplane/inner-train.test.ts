import { randomBytes } from 'node:crypto';
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { balance, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { ipv4, udp } from '../support/bytes.ts';
import { nameOf } from '../support/peers.ts';
import { FAN } from '../vectors/craft.ts';
import { byFlow, DeviceFile, difference } from './device-file.ts';
import { cut } from './oracle.ts';

const SEGMENT_BYTES = 500;

/** A guest's UDP_SEGMENT send as a kernel endpoint puts it on a veth: whole, its sum unfinished. */
function innerTrain(bytes: number): Buffer {
  const ends = { source: FAN.source, destination: FAN.destination };
  const datagram = udp(ends, { destinationPort: 4433 }, randomBytes(bytes));
  let pseudo = 17 + datagram.length;
  for (const address of Object.values(ends)) pseudo += (address >>> 16) + (address & 0xffff);
  while (pseudo > 0xffff) pseudo = (pseudo & 0xffff) + (pseudo >>> 16);
  datagram.writeUInt16BE(pseudo, 6);
  return ipv4({ ...ends, identification: 7 }, datagram);
}

for (const [what, vnet, uso] of [
  ['a device with UDP segmentation', true, true],
  ['a device of a kernel before 6.2', true, false],
  ['a device without offloads', false, false],
] as const) {
  t.test(`a train of inner datagrams reaches ${what} cut`, async (t) => {
    // Two small ones that would fit the MTU together, a long one, one with a short end.
    for (const payloadBytes of [2 * SEGMENT_BYTES, 80 * SEGMENT_BYTES, 5 * SEGMENT_BYTES + 1]) {
      const device = new DeviceFile(vnet, 0);
      t.teardown(() => device.close());
      const rig = makeRig('Fou', vnet, RIG.receiver, device.fd);
      const { arena, layout, link, endpoint, counters } = rig;
      Object.defineProperty(link, 'uso', { value: uso });
      const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
      const ingress = new Ingress(arena, coalescer, [link]);
      const packet = innerTrain(payloadBytes);
      const buffer = arena.allocate(65_536);
      arena.bytes.set(packet, buffer);
      ingress.message(endpoint, buffer, packet.length, nameOf(arena, FAN.sender), 0, SEGMENT_BYTES);
      coalescer.flush();
      const wanted = cut(packet, SEGMENT_BYTES);
      t.equal(difference(byFlow(device.packets()), byFlow(wanted)), '', `${payloadBytes} bytes`);
      t.match(counters(), { 'ingress.received': 1, 'ingress.delivered': 1 });
      t.equal(balance(link.counters, 'ingress'), 0);
    }
  });
}

t.test('segments that would not fit are refused', async (t) => {
  const device = new DeviceFile(true, 0);
  t.teardown(() => device.close());
  const { arena, layout, link, endpoint, counters } = makeRig('Fou', true, RIG.receiver, device.fd);
  const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
  const packet = innerTrain(3000);
  const buffer = arena.allocate(65_536);
  arena.bytes.set(packet, buffer);
  const ingress = new Ingress(arena, coalescer, [link]);
  ingress.message(
    endpoint,
    buffer,
    packet.length,
    nameOf(arena, FAN.sender),
    0,
    link.innerMtu - 27,
  );
  t.equal(counters()['ingress.drop.too_big'], 1);
  t.equal(device.packets().length, 0);
});
