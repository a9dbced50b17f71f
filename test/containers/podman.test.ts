import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { makeImage, type Said } from './dockerd.ts';
import { Podman, RUN, skipWithoutPodman } from './podman.ts';

t.setTimeout(1_200_000);

const UP = ['up', '250.0.0.0/8', 'eth0/16'];
const IMAGE = 'bb';
const skip = skipWithoutTun() || skipWithoutPodman() || skipLong;

t.test('podman on two hosts of a fan', { skip }, async (t) => {
  const lab = await Lab.create({ containersPerHost: 0 });
  t.teardown(() => lab.close());
  const pods = lab.hosts.map((host) => new Podman(host));
  const [a, b] = pods;
  if (a === undefined || b === undefined) throw new Error('two hosts were asked for');
  for (const podman of pods) {
    await runFanway(podman.host, UP);
    await podman.start();
    const image = makeImage(podman.host.runDirectory, `page of ${podman.host.name}`);
    await podman.does('import', image, IMAGE);
    const dir = ['--network-dir', podman.networks];
    const first = await fanway(podman.host, 'podman', 'enable', ...dir, '--json');
    t.match(JSON.parse(first.out), { made: true, network: 'fan', mtu: 1450 }, first.err);
    const file = join(podman.networks, 'fan.json');
    const before = readFileSync(file, 'utf8');
    t.match(await fanway(podman.host, 'podman', 'enable', ...dir), { out: /is there, and as it/ });
    t.equal(readFileSync(file, 'utf8'), before, 'asked twice it is the same network');
  }
  const rival = await fanway(
    a.host,
    ...['podman', 'enable', '--name', 'more', '--network-dir', a.networks],
  );
  t.match(rival, { code: 3, err: /network fan has 250\.0\.0\.0\/8 already/ });

  t.teardown(() => Promise.all(pods.map((podman) => podman.close())));
  const serve = ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/'];
  const web = [...RUN, '-d', '--name', 'web', IMAGE, ...serve];
  const started = await a.run(...web);
  t.equal(started.code, 0, started.err);
  const format = '{{.NetworkSettings.Networks.fan.IPAddress}}';
  const address = await a.does('inspect', '-f', format, 'web');
  t.equal(address, '250.0.28.2', 'the first of the slice after the gateway');
  const ask = ['/bin/busybox', 'timeout', '5', '/bin/busybox', 'wget', '-q', '-O', '-'];
  const seen = (): Promise<Said> => b.run(...RUN, '--rm', IMAGE, ...ask, `http://${address}/`);
  t.match(await seen(), { code: 0, out: 'page of host1' }, 'container to container');

  await runFanway(a.host, ['down', ...UP.slice(1), '--force']);
  await runFanway(a.host, UP);
  t.match(await seen(), { code: 0, out: 'page of host1' }, 'after down and up of the fan');

  await a.does('rm', '-f', '-t', '0', 'web');
  const dir = ['--network-dir', a.networks];
  t.match(await fanway(a.host, 'podman', 'disable', ...dir), { code: 0, out: /removed/ });
  t.match(await fanway(a.host, 'podman', 'disable', ...dir), { code: 0, out: /has no network/ });
  writeFileSync(join(a.networks, 'fan.json'), '{"name":"fan","subnets":[]}\n');
  const foreign = await fanway(a.host, 'podman', 'disable', ...dir);
  t.match(foreign, { code: 3, err: /was not made by fanway/ }, "somebody else's is left alone");
});
