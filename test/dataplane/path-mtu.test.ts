import t from 'tap';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { DataEndpoint, DataLink } from '../../src/dataplane/ground/link.ts';
import { PATH_MTU_FLOOR_BYTES } from '../../src/dataplane/ground/peers.ts';
import { PathMtu } from '../../src/dataplane/send/path-mtu.ts';
import { LinkEncap } from '../../src/encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import { EndpointKind } from '../../src/table/links/links.ts';
import {
  PATH_LIMITS_MAX,
  PathLimitReader,
  PathLimitWriter,
} from '../../src/table/links/path-limits.ts';
import { MtuSource, PathRows, readPaths } from '../../src/table/paths.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { makePeers, PEER_PORT } from '../support/peers.ts';
import { TestPorts } from '../support/ports.ts';
import { TestTables } from '../support/tables.ts';

const LOCAL = 0xac1e001c;
const PEER_HOST = 0xac1e011b;
/** The first number that a table gives. */
const PEER = 1;
const OVERHEAD = 50;

/** A VXLAN link on a device of 1500 bytes, and a host whose answers the test sets. */
function scene() {
  const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  const ports = new TestPorts(new Arena(65_536));
  const endpoint = new DataEndpoint(
    { kind: EndpointKind.Udp, localAddress: LOCAL, localPort: 4789, offloads: 0, sockets: [] },
    ports,
  );
  const record = {
    ...{ id: 0, encap: LinkEncap.Vxlan, deviceFd: -1, offloads: 0, endpoint: 0 },
    ...{ overlayAddress: 0xfa000000, overlayLength: 8, underlayAddress: 0xac1e0000 },
    ...{ underlayLength: 16, localAddress: LOCAL, vni: 1, peerPort: 4789, innerMtu: 1450 },
    ...{ underlayMtu: 1500, gateway: 0xfa001c01, superBytesToHost: 65535 },
    ...{ superBytesToPorts: 65535, dscpUniform: 0 },
  };
  const rows = layout.paths();
  const peers = makePeers(new PathRows(rows));
  for (const address of [PEER_HOST, PEER_HOST + 1]) peers.intern(address, PEER_PORT);
  const link = new DataLink(record, endpoint, { layout, tables: new TestTables(), peers, ports });
  const host = { route: 1500, current: 1500, asked: 0, askedCurrent: 0 };
  const paths = new PathMtu(peers, {
    configured: () => {
      host.asked++;
      return host.route;
    },
    current: () => {
      host.askedCurrent++;
      return host.current;
    },
  });
  return { link, record, host, peers, paths, told: () => readPaths(rows) };
}

t.test('the route to a peer is asked before the first packet and every two seconds', async (t) => {
  const { link, host, paths, told } = scene();
  host.route = 1400;
  t.equal(paths.innerMtu(link, PEER, 10), 1350);
  t.match(told(), [{ peer: PEER_HOST, mtu: 1400, mtuSource: MtuSource.Route }]);
  for (let ms = 10; ms < 2000; ms += 10) paths.innerMtu(link, PEER, ms);
  t.equal(host.asked, 1, 'one question for all of them');
  host.route = 1500;
  t.equal(paths.innerMtu(link, PEER, 2010), 1450, 'the route has changed');
  t.match(told(), [{ mtu: 0 }]);
  t.equal(host.asked, 2);
  host.route = 0;
  t.equal(paths.innerMtu(link, PEER, 4010), 1450, 'a host that does not know limits nothing');
  host.route = 68;
  t.equal(paths.innerMtu(link, PEER, 6010), PATH_MTU_FLOOR_BYTES - OVERHEAD, 'never below 576');
});

t.test('ICMP and route: the smaller counts, and one does not raise the other', async (t) => {
  const { link, host, peers, paths } = scene();
  host.route = 1400;
  paths.innerMtu(link, PEER, 10);
  peers.noteSent(PEER, 1400, 10);
  t.ok(peers.lower(PEER, 1300, 10));
  t.equal(paths.innerMtu(link, PEER, 10), 1250, 'seen at once');
  host.route = 1500;
  t.equal(paths.innerMtu(link, PEER, 3000), 1250);
  t.equal(paths.innerMtu(link, PEER, 600_011), 1450, 'forgotten after ten minutes');
});

t.test('what control knows of a peer counts where it is less', async (t) => {
  const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  segment.initialize(7);
  const writer = new PathLimitWriter(segment);
  const { link, host, peers } = scene();
  const oracle = { configured: () => host.route, current: () => 0 };
  const paths = new PathMtu(peers, oracle, new PathLimitReader(segment));
  const member = { peer: PEER_HOST, mtu: 1500, source: MtuSource.Member };
  const other = { peer: PEER_HOST + 1, mtu: 900, source: MtuSource.Probe };
  t.equal(writer.replace([member, other]), 0);
  t.equal(paths.innerMtu(link, PEER, 10), 1450);
  t.equal(paths.innerMtu(link, PEER + 1, 10), 850);
  t.equal(writer.replace([{ ...member, mtu: 1300 }]), 0);
  t.equal(paths.innerMtu(link, PEER, 3000), 1250);
  t.equal(paths.innerMtu(link, PEER + 1, 3000), 1450, 'no limit any more');
  host.route = 1200;
  t.equal(paths.innerMtu(link, PEER, 6000), 1150, 'the route has less');
  t.equal(writer.replace([{ ...member, mtu: 1 }]), 0);
  t.equal(paths.innerMtu(link, PEER, 9000), PATH_MTU_FLOOR_BYTES - OVERHEAD, 'never below 576');
  const many = Array.from({ length: 5000 }, (_, i) => ({ ...member, peer: 1000 + i }));
  t.equal(writer.replace(many), 5000 - PATH_LIMITS_MAX, 'what found no room is told');
  t.equal(writer.replace([]), 0);
  t.equal(paths.innerMtu(link, PEER, 12_000), 1150);
});

t.test('a send that the kernel refuses is believed', async (t) => {
  const { link, host, paths, told } = scene();
  host.current = 1438;
  t.ok(paths.refused(link, PEER, 1500, 5));
  t.equal(paths.innerMtu(link, PEER, 5), 1388);
  t.match(told(), [{ mtu: 1438, mtuSource: MtuSource.Send }]);
  t.notOk(paths.refused(link, PEER, 1500, 5), 'of the same burst: known already');
  t.equal(host.askedCurrent, 1);
});

t.test('where the kernel refuses and has no number, it is felt for', async (t) => {
  const { link, paths, peers } = scene();
  const steps: number[] = [];
  for (let bytes = 1500, ms = 1; paths.refused(link, PEER, bytes, ms); ms++) {
    bytes = peers.pathMtu(PEER, ms);
    steps.push(bytes);
    if (steps.length > 100) break;
  }
  t.same(steps.slice(0, 3), [1407, 1320, 1238]);
  t.equal(steps.at(-1), PATH_MTU_FLOOR_BYTES, 'and no further than the floor');
});

t.test('who sends to ever new peers makes us ask a thousand times a second', async (t) => {
  const { link, host, peers, paths } = scene();
  for (let i = 0; i < 20_000; i++) {
    peers.nextBurst(100 + i);
    const peer = peers.intern(0xac1e1001 + i, PEER_PORT);
    paths.innerMtu(link, peer, 100 + i / 10_000);
  }
  t.ok(host.asked >= 1000 && host.asked < 1010, `${host.asked} questions`);
});
