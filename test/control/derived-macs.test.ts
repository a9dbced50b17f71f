import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { macFromIpv4 } from '../../src/net/mac.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { fanway } from './lab-router.ts';

const HERE = 0xfa001c0a;
const THERE = 0xfa011b0a;

async function countersOf(host: Lab['hosts'][number]): Promise<Record<string, number>> {
  const { out } = await fanway(host, 'counters', '--json');
  const [counters] = Object.values(JSON.parse(out) as Record<string, Record<string, number>>);
  return counters ?? {};
}

t.test('ARP is answered at home by arithmetic', { skip: skipWithoutTun() }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 1 });
  t.teardown(() => lab.close());
  const up = ['up', '250.0.0.0/8', 'eth0/16', '--derived-macs'];
  await Promise.all(lab.hosts.map((host) => runFanway(host, up)));
  for (const [index, address] of [HERE, THERE].entries()) {
    const container = lab.container(index, 0);
    const slice = index === 0 ? 'fan-250-0-28' : 'fan-250-1-27';
    const gateway = ((address & ~0xff) | 1) >>> 0;
    await container.attach({ bridge: slice, address, length: 8, gateway });
    await container.netlink.setLink('eth0', { address: macFromIpv4(address) });
  }
  const [a, b] = [lab.container(0, 0), lab.container(1, 0)];
  const reached = async (from: typeof a, to: string): Promise<boolean> => {
    const { targets } = await runEcho(from, [to], { count: 2, interval: 50 });
    return targets.every(({ received }) => received > 0);
  };
  await until('echoes both ways', 10_000, async () => {
    return (await reached(a, '250.1.27.10')) && (await reached(b, '250.0.28.10'));
  });
  const known = (await a.netlink.neighbours()).find(({ address }) => address === THERE);
  t.equal(known?.mac, macFromIpv4(THERE));
  const counters = await countersOf(lab.host(0));
  t.ok((counters['event.arp_answered'] ?? 0) > 0, 'answered here');
  t.ok(await reached(a, '250.1.27.1'), "the far host's own address, asked for there");
  const plan = await fanway(
    lab.host(0),
    'up',
    '250.0.0.0/8',
    'eth0/16',
    '--encap',
    'ipip',
    '--derived-macs',
  );
  t.not(plan.code, 0);
  t.match(plan.err, /derived-macs belongs to encap vxlan/);
  const kernel = await fanway(
    lab.host(0),
    'plan',
    '251.0.0.0/8',
    'eth0/16',
    '--datapath',
    'kernel',
    '--derived-macs',
  );
  t.match(kernel.out + kernel.err, /--derived-macs has fanway's own processes answer ARP/);
});
