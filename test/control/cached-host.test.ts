import t from 'tap';
import { cached } from '../../src/control/host/cached-host.ts';
import { FakeHost } from './fake-host.ts';

t.test('cached() asks once between two changes', async (t) => {
  const real = new FakeHost();
  let asked = 0;
  const links = real.links.bind(real);
  real.links = async () => {
    asked++;
    return links();
  };
  const { host, tunnels } = cached(real, real);
  await host.links();
  await host.links();
  await host.addresses();
  t.equal(asked, 1);
  await host.createBridge('br0', 0);
  t.ok(
    (await host.links()).some(({ name }) => name === 'br0'),
    'what was made is seen',
  );
  t.equal(asked, 2);
  host.readSysctl('net/ipv4/ip_forward');
  await host.links();
  t.equal(asked, 2, 'reading a setting changes nothing');
  await tunnels.removeLink('x');
  await host.links();
  t.equal(asked, 3, 'the data plane changes devices too');
  real.dead = true;
  await t.rejects(host.deleteLink(1));
  real.dead = false;
  await host.links();
  t.equal(asked, 4, 'also a change that failed');
});
