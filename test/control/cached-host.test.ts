import t from 'tap';
import { cached } from '../../src/control/host/cached-host.ts';
import { FakeHost } from './fake-host.ts';

t.test('cached() asks again for what a change is about', async (t) => {
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
  t.equal(asked, 1, 'by a question for one link');
  host.readSysctl('net/ipv4/ip_forward');
  await host.links();
  t.equal(asked, 1, 'reading a setting changes nothing');
  await tunnels.removeLink('x');
  await host.links();
  t.equal(asked, 2, 'the data plane changes devices too');
  const index = (await host.link('br0'))?.index ?? 0;
  await host.setLink(index, { name: 'br1', alias: 'x' });
  t.match(
    (await host.links()).filter(({ name }) => name.startsWith('br')),
    [{ name: 'br1', alias: 'x' }],
    'a new name is one link, and nothing is left of the old one',
  );
  await host.setLink('br1', { up: false });
  t.equal((await host.links()).find(({ name }) => name === 'br1')?.up, false);
  t.equal(asked, 3, 'what goes down takes others along');
  await host.addAddress('br1', 0x0a000001, 24);
  t.ok(
    (await host.addresses()).some((one) => one.index === index),
    'an address that was added is seen',
  );
  t.equal(asked, 3, 'and no link is asked for by that');
  real.dead = true;
  await t.rejects(host.deleteLink(1));
  real.dead = false;
  await host.links();
  t.equal(asked, 4, 'also a change that failed');
});
