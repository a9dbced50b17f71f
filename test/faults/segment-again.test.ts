import t from 'tap';
import { Endpoint } from '../../src/dataplane/link.ts';
import { EndpointKind, Offload } from '../../src/shm/layout.ts';

function endpoint(offloads: number): Endpoint {
  const record = { kind: EndpointKind.Udp, localAddress: 0, localPort: 4789, offloads };
  return new Endpoint({ ...record, sockets: [3] });
}

t.test('a refused UDP_SEGMENT is tried again after ten seconds', async (t) => {
  const udp = endpoint(Offload.Segment);
  t.ok(udp.segment);
  udp.refuseSegments(50_000);
  t.notOk(udp.segment);
  udp.maySegmentAgain(59_999);
  t.notOk(udp.segment);
  udp.maySegmentAgain(60_000);
  t.ok(udp.segment);
  udp.refuseSegments(60_001);
  udp.maySegmentAgain(20_000);
  t.ok(udp.segment, 'also when the clock was set back');
});

t.test('where it never was, it is never tried', async (t) => {
  const plain = endpoint(0);
  plain.maySegmentAgain(1e12);
  t.notOk(plain.segment);
});
