import t from 'tap';
import { RING_BYTES, RING_RECORDS, RingReader, RingWriter } from '../../src/shm/ring.ts';
import { EventKind, EventReader, EventWriter, MovedTo, Snooped } from '../../src/table/events.ts';

function makeEvents() {
  const buffer = new SharedArrayBuffer(RING_BYTES);
  return {
    writer: new EventWriter(new RingWriter(buffer, 0)),
    reader: new EventReader(new RingReader(buffer, 0)),
  };
}

t.test('events arrive as they were told', async (t) => {
  const { writer, reader } = makeEvents();
  const view = new DataView(new ArrayBuffer(32));
  view.setUint32(4, 0x0a00_0005);
  view.setUint32(8, 0xfd00_0001);
  view.setUint32(20, 0x1234_5678);
  t.equal(writer.push(EventKind.LocalMac, 200, 0xffff, 0xfedc_ba98, 0), true);
  t.equal(writer.push(EventKind.Moved, 1, 2, 3, 65_534, MovedTo.Peer), true);
  const binding = { kind: EventKind.Binding, link: 255, peer: 0, detail: Snooped.Dhcp };
  t.equal(writer.pushAddress(binding, 0x0242, 7, view, 4, 4), true);
  t.equal(writer.pushAddress({ ...binding, detail: Snooped.Nd }, 0x0242, 7, view, 8, 16), true);
  const none = new Uint8Array(0);
  t.same(reader.take(3), [
    {
      kind: EventKind.LocalMac,
      link: 200,
      mac: 0xffff_fedc_ba98,
      peer: 0,
      detail: 0,
      address: none,
    },
    { kind: EventKind.Moved, link: 1, mac: 0x2_0000_0003, peer: 65_534, detail: 1, address: none },
    {
      ...{ kind: EventKind.Binding, link: 255, mac: 0x0242_0000_0007, peer: 0, detail: 3 },
      address: Uint8Array.of(10, 0, 0, 5),
    },
  ]);
  const [last] = reader.take(100);
  t.equal(Buffer.from(last?.address ?? []).toString('hex'), 'fd000001000000000000000012345678');
  t.equal(last?.detail, Snooped.Nd);
  t.same(reader.take(100), []);
});

t.test('lost ones are counted, and a sleeper is woken once a batch', async (t) => {
  const { writer, reader } = makeEvents();
  t.equal(reader.sleep(), true);
  for (let i = 0; i < RING_RECORDS; i++) writer.push(EventKind.Miss, 1, 0, i, 0);
  t.equal(writer.push(EventKind.Miss, 1, 0, 0, 0), false);
  t.equal(reader.lost, 1);
  t.equal(writer.takeAsleep(), true);
  t.equal(writer.takeAsleep(), false);
  t.equal(reader.take(RING_RECORDS).length, RING_RECORDS);
  t.equal(reader.sleep(), true);
  t.equal(writer.takeAsleep(), false, 'nothing was told since');
});
