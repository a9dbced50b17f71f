import t, { type Test } from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import type { ContainerManager } from '../../src/plugins/lxd/api.ts';
import { fanway, fanwayWith } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { Lxd, skipWithout } from './lxd.ts';

t.setTimeout(1_200_000);

const UP = ['up', '250.0.0.0/8', 'eth0/16', 'dhcp'];
const DOWN = ['down', '250.0.0.0/8', 'eth0/16', '--force'];
const skip = skipWithoutTun() || skipLong;

t.test('instances of LXD', { skip: skip || skipWithout('lxd') }, (t) => twoHosts(t, 'lxd'));
t.test('instances of Incus', { skip: skip || skipWithout('incus') }, (t) => twoHosts(t, 'incus'));

/** Instances on two hosts of a fan. */
async function twoHosts(t: Test, manager: ContainerManager): Promise<void> {
  const lab = await Lab.create({ containersPerHost: 0, ipv6: true });
  t.teardown(() => lab.close());
  const [one, two] = lab.hosts.map((host) => new Lxd(host, manager));
  if (one === undefined || two === undefined) throw new Error('two hosts were asked for');
  t.teardown(() => Promise.all([one.close(), two.close()]));
  const begin = async (lxd: Lxd, name: string, profile: string): Promise<string> => {
    await runFanway(lxd.host, UP);
    await lxd.start(`page of ${lxd.host.name}`);
    const made = await fanwayWith(lxd.host, lxd.environment, manager, 'enable', '--json');
    t.match(JSON.parse(made.out), { made: 'new', profile, mtu: 1450 }, made.err);
    return await lxd.launch(name, 'default', profile);
  };
  const both = [begin(one, 'c0', 'fan-250-0-28'), begin(two, 'c1', 'fan-250-1-27')];
  const addresses = await Promise.all(both);
  const [here = '', there = ''] = addresses;
  t.match(here, /^250\.0\.28\./, 'an address of the slice, by DHCP');
  t.match(there, /^250\.1\.27\./);
  const seen = async (): Promise<boolean> => {
    return (await two.get('c1', here)).out === `page of ${one.host.name}`;
  };
  await until('instance to instance', 10_000, seen);
  t.equal((await one.get('c0', there)).out, `page of ${two.host.name}`, 'and the other way');
  const book = JSON.parse((await fanway(one.host, 'ip', 'show', '--json')).out);
  t.match(JSON.stringify(book), here, 'the address book knows the lease');

  if (manager === 'lxd') {
    const local = await fanwayWith(one.host, one.environment, 'fanatic', 'test', 'local-lxd');
    t.match(local, { code: 0, out: /^it reaches the first by its address: PASS$/m }, local.err);
    t.equal(await one.does('list', '--format', 'csv', '--columns', 'n'), 'c0', 'nothing is left');
  }

  const disable = () => fanwayWith(one.host, one.environment, manager, 'disable');
  const busy = await disable();
  t.match(busy, { code: 3, err: /is that of c0/ }, 'a profile in use stays');
  await runFanway(one.host, DOWN);
  await runFanway(one.host, UP);
  await until('after down and up of the fan', 10_000, seen);
  t.equal(await one.addressOf('c0'), here, 'with the address it had');

  await one.does('delete', '-f', 'c0');
  const gone = await disable();
  t.equal(gone.code, 0, gone.err);
}
