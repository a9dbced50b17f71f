import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { makeImage, type Said } from './dockerd.ts';
import { Podman, RUN, skipWithoutNewerPodman } from './podman.ts';

t.setTimeout(300_000);

const FAN = ['250.0.0.0/8', 'eth0/16'];
const IMAGE = 'bb';
/** The machine may keep its controllers under version 1 of cgroups, which this podman does not know. */
const START = [...RUN, '--cgroups', 'disabled'];
const skip = skipWithoutTun() || skipWithoutNewerPodman() || skipLong;

t.test("a driver of podman's networks on two hosts", { skip }, async (t) => {
  const lab = await Lab.create({ containersPerHost: 0, ipv6: true });
  t.teardown(() => lab.close());
  const pods = lab.hosts.map((host) => new Podman(host, 'newer'));
  const [a, b] = pods;
  if (a === undefined || b === undefined) throw new Error('two hosts were asked for');
  t.teardown(() => Promise.all(pods.map((podman) => podman.close())));
  const plugin = (podman: Podman, action: string, ...more: string[]) => {
    const words = ['podman', action, '--plugin', '--plugin-dir', podman.plugins, ...more];
    return fanway(podman.host, ...words);
  };
  for (const podman of pods) {
    await runFanway(podman.host, ['up', ...FAN]);
    await podman.start();
    await podman.does('import', makeImage(podman.host.runDirectory, podman.host.name), IMAGE);
    const made = await plugin(podman, 'enable', '--json');
    t.match(JSON.parse(made.out), { driver: 'fanway', range: '' }, made.err);
    await podman.does('network', 'create', '--driver', 'fanway', 'fan');
  }
  const refused = await a.run('network', 'create', '-d', 'fanway', '--subnet', '10.0.0.0/24', 'x');
  t.match(refused.err, /leave --subnet out/);
  const strange = await a.run('network', 'create', '-d', 'fanway', '-o', 'mtu=900', 'x');
  t.match(strange.err, /the option mtu means nothing here; bridge does/);

  const serve = ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/'];
  await a.does(...START, '-d', '--name', 'web', IMAGE, ...serve);
  const format = '{{.NetworkSettings.Networks.fan.IPAddress}}';
  const address = await a.does('inspect', '-f', format, 'web');
  t.match(address, /^250\.0\.28\./, 'an address of the slice');
  t.match((await fanway(a.host, 'ip', 'show')).out, new RegExp(`${address} +netavark fan `));
  const ask = ['/bin/busybox', 'timeout', '5', '/bin/busybox', 'wget', '-q', '-O', '-'];
  const seen = (): Promise<Said> => b.run(...START, '--rm', IMAGE, ...ask, `http://${address}/`);
  t.match(await seen(), { code: 0, out: a.host.name }, 'container to container');

  await runFanway(a.host, ['down', ...FAN, '--force']);
  const early = await a.run(...START, '--rm', IMAGE, ...serve);
  t.match(early, { err: /no router runs|no fan is up here/ }, 'without a fan: said why');
  await runFanway(a.host, ['up', ...FAN]);
  t.match(await seen(), { code: 0, out: a.host.name }, 'after down and up of the fan');
  const port = await a.run(...START, '--rm', '-p', '8080:80', IMAGE, ...serve);
  t.match(port.err, /ports \(-p\) are not published on this network/);

  await a.does('rm', '-f', '-t', '0', 'web');
  t.notMatch((await fanway(a.host, 'ip', 'show')).out, /netavark/, 'addresses are given back');
  await a.does('network', 'rm', 'fan');
  t.match(await plugin(a, 'disable'), { code: 0, out: /removed/ });
  t.notOk(existsSync(join(a.plugins, 'fanway')));
});
