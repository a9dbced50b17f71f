import t from 'tap';
import { superBytesOf } from '../../src/control/host/super-bytes.ts';
import { link } from './snapshots.ts';

const SPEC = { name: 'fan-250', device: 'fan-250-tun' };
const bridge = link(3, 'fan-250');
const device = link(4, 'fan-250-tun', { master: 3 });
const port = (index: number, gsoIpv4MaxSize: number, master = 3) =>
  link(index, `veth${index}`, { master, gsoIpv4MaxSize });

t.test('how long a packet may be is what every port takes uncut', async (t) => {
  const most = (...ports: ReturnType<typeof link>[]) =>
    superBytesOf(SPEC, [bridge, device, ...ports]);
  const toHost = 131_072;
  t.same(most(), { toHost, toPorts: 131_072 }, 'no port');
  t.same(most(port(5, 65_536)), { toHost, toPorts: 65_521 }, 'less, Ethernet header included');
  t.same(most(port(5, 65_536, 9)), { toHost, toPorts: 131_072 }, "another bridge's port");
  t.same(most(port(5, 200_000), port(6, 100_000)), { toHost, toPorts: 99_985 }, 'the least');
  t.same(most(port(5, 10)), { toHost, toPorts: 0 });
  const plain = { toHost: 65_535, toPorts: 65_535 };
  const old = { ...device, gsoIpv4MaxSize: 0 };
  t.same(superBytesOf(SPEC, [bridge, old, port(5, 0)]), plain, 'a kernel before 6.3');
  t.same(superBytesOf(SPEC, []), plain, 'no device yet');
});
