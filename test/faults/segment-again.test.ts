import t from 'tap';
import { offloadsInForce, pathStatus } from '../../src/control/plane/paths.ts';
import { PATH_BYTES, PATHS_MAX } from '../../src/shm/path-rows.ts';
import { EINVAL, EIO } from '../../src/sys/libc/constants.ts';
import { PathRows, readPaths } from '../../src/table/paths.ts';
import { makePeers, PEER_PORT } from '../support/peers.ts';

const HOST_A = 0xac1e011b;
const HOST_B = 0xac1e011c;
const OFFLOADS = ['tso', 'udp-segment', 'udp-gro'];

t.test('a refused UDP_SEGMENT is tried again after ten seconds, for that peer alone', async (t) => {
  const peers = makePeers();
  const [A, B] = [peers.intern(HOST_A, PEER_PORT), peers.intern(HOST_B, PEER_PORT)];
  t.ok(peers.maySegment(A, 50_000));
  peers.refuseSegments(A, EIO, 50_000);
  t.notOk(peers.maySegment(A, 50_000));
  t.ok(peers.maySegment(B, 50_000), 'another peer is not concerned');
  t.notOk(peers.maySegment(A, 59_999));
  t.ok(peers.maySegment(A, 60_000));
  peers.refuseSegments(A, EIO, 60_001);
  t.equal(peers.refusedCount, 1, 'one peer, however often');
  t.ok(peers.maySegment(A, 20_000), 'also when the clock was set back');
  peers.noteSegmented(A);
  t.equal(peers.refusedCount, 0);
  t.ok(peers.maySegment(A, 60_002));
});

t.test('what is in force is what is shown, with since when and why', async (t) => {
  const view = new DataView(new ArrayBuffer(PATHS_MAX * PATH_BYTES));
  const rows = new PathRows(view);
  const peers = makePeers(rows);
  const [A, B] = [peers.intern(HOST_A, PEER_PORT), peers.intern(HOST_B, PEER_PORT)];
  const shown = () => readPaths(view).map((record) => pathStatus(record));
  t.same(shown(), []);
  t.same(offloadsInForce(OFFLOADS, shown()), OFFLOADS);

  const before = Date.now();
  peers.refuseSegments(A, EIO, 1);
  const [first] = shown();
  t.match(first, { peer: '172.30.1.27', segmentation: 'refused', segmentationError: 'EIO' });
  const since = Date.parse(first?.segmentationSince ?? '');
  t.ok(since >= before && since <= Date.now(), 'since now');
  t.same(offloadsInForce(OFFLOADS, shown()), ['tso', 'udp-gro'], 'nowhere in force');

  peers.noteSegmented(B);
  t.same(offloadsInForce(OFFLOADS, shown()), OFFLOADS, 'towards the other peer it is');

  peers.refuseSegments(A, EINVAL, 20_000);
  const [again] = shown();
  t.equal(again?.segmentationError, 'EINVAL');
  t.equal(again?.segmentationSince, first?.segmentationSince, 'since the first refusal');
  peers.noteSegmented(A);
  t.match(shown()[0], { segmentation: 'works', segmentationError: '', segmentationSince: '' });

  rows.clear();
  t.same(shown(), [], 'a successor begins anew');
});
