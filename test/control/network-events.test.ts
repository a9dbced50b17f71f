import t from 'tap';
import { NetworkEvents } from '../../src/control/plane/network-events.ts';
import { RING_BYTES, RingReader, RingWriter } from '../../src/shm/ring.ts';
import { EventKind, EventReader, EventWriter, type LinkEvent } from '../../src/table/events.ts';
import { until } from '../support/patience.ts';

function makeProcess() {
  const ring = new SharedArrayBuffer(RING_BYTES);
  return {
    writer: new EventWriter(new RingWriter(ring, 0)),
    reader: new EventReader(new RingReader(ring, 0)),
  };
}

t.test('events of all processes are told with the name of their link, in pieces', async (t) => {
  const processes = [makeProcess(), makeProcess()];
  const told: (readonly LinkEvent[])[] = [];
  const names = new Map([
    [1, 'blue'],
    [2, 'red'],
  ]);
  const events = new NetworkEvents(
    () => processes.map(({ reader }) => reader),
    (id) => names.get(id),
    (some) => told.push(some),
  );
  events.look();
  t.same(told, [], 'nothing yet');
  const [a, b] = processes;
  for (let i = 0; i < 2500; i++) a?.writer.push(EventKind.Miss, 1, 0, i, 0);
  b?.writer.push(EventKind.LocalMac, 2, 0, 7, 0);
  b?.writer.push(EventKind.LocalMac, 9, 0, 8, 0);
  t.equal(a?.writer.takeAsleep(), true, 'the first one rings');
  t.equal(b?.writer.takeAsleep(), true);
  events.look();
  t.equal(told[0]?.length, 1024, 'not all at once');
  await until('all are told', 5000, async () => told.flat().length === 2501);
  const blue = told.flat().filter(({ name }) => name === 'blue');
  t.same(
    blue.map(({ mac }) => mac),
    Array.from({ length: 2500 }, (_, i) => i),
  );
  t.match(
    told.flat().filter(({ name }) => name !== 'blue'),
    [{ name: 'red', kind: EventKind.LocalMac, mac: 7 }],
    'one of a link that has gone is left out',
  );
  t.equal(events.lost, 0);
  a?.writer.push(EventKind.Miss, 1, 0, 0, 0);
  t.equal(a?.writer.takeAsleep(), true, 'it rings again');
  events.close();
  events.look();
  t.equal(told.flat().length, 2501, 'closed, it looks no more');
});
