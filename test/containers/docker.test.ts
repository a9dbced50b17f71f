import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { fanwayWith, statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, until } from '../support/patience.ts';
import { Dockerd, IMAGE, runOn, skipWithoutDocker } from './dockerd.ts';

t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipWithoutDocker() || skipLong;
const UP = ['up', '250.0.0.0/8', 'eth0/16'];
/** Containers go on within this after a restart, ms. */
const BACK_MS = 2000;
/** A container's own web server, and what asks one. */
const SERVE = ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/'];
const ask = (address: string): string[] => [
  // Not its own -T: with that the static build of Debian 12 crashes.
  ...['/bin/busybox', 'timeout', '2', '/bin/busybox', 'wget', '-q', '-O', '-'],
  `http://${address}/`,
];

t.test('Docker on two hosts of a fan', { skip }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.close());
  const [hostA, hostB] = [lab.host(0), lab.host(1)];
  const [a, b] = [new Dockerd(hostA), new Dockerd(hostB)];
  t.teardown(() => Promise.all([a.kill(), b.kill()]));
  for (const docker of [a, b]) {
    await runFanway(docker.host, UP);
    await docker.start();
    await docker.import(`page of ${docker.host.name}`);
  }
  const bridgeOf = async (host: typeof hostA): Promise<string> =>
    (await statusOf(host)).links[0]?.name ?? '';
  const [bridgeA, bridgeB] = [await bridgeOf(hostA), await bridgeOf(hostB)];

  for (const docker of [a, b]) {
    const first = await fanwayWith(docker.host, docker.environment, 'docker', 'enable', '--json');
    t.equal(first.code, 0, first.err);
    t.match(JSON.parse(first.out), {
      made: true,
      network: 'fan',
      subnet: '250.0.0.0/8',
      mtu: 1450,
    });
    const again = await fanwayWith(docker.host, docker.environment, 'docker', 'enable');
    t.match(again, { code: 0, out: /is there already/ }, 'asked twice');
  }
  const clash = await fanwayWith(hostA, a.environment, 'docker', 'enable', '--name', 'more');
  t.match(clash, { code: 3, err: /250\.0\.0\.0\/8 twice .*network fan has it/ }, 'one pool twice');

  await a.does(
    ...['run', '-d', '--name', 'web', '--network', 'fan', '-p', '8080:80'],
    ...['--restart', 'always', IMAGE, ...SERVE],
  );
  const web = await a.addressOf('web', 'fan');
  t.match(web, /^250\.0\.28\.\d+$/, 'an address of the slice');
  t.equal(web, '250.0.28.2', 'neither .0 nor the gateway');
  const seenFromB = (): Promise<{ out: string; code: number; err: string }> =>
    b.docker('run', '--rm', '--network', 'fan', IMAGE, ...ask(web));
  t.match(await seenFromB(), { code: 0, out: 'page of host1' }, 'container to container');
  const published = await runOn(
    hostB,
    'busybox',
    ask(`${formatIpv4(hostA.address)}:8080`).slice(1),
  );
  t.match(published, { code: 0, out: 'page of host1' }, '-p');

  t.match(
    await a.docker('run', '--rm', '--network', 'fan', IMAGE, ...ask('web')),
    { code: 0, out: 'page of host1' },
    'by its name',
  );
  const local = await fanwayWith(hostA, a.environment, 'fanatic', 'test', 'local-docker');
  t.match(local, { code: 0, out: /starts: PASS\n.*address: PASS\n.*name: PASS/ }, local.err);
  t.match(await fanwayWith(hostA, a.environment, 'fanatic', 'show'), {
    out: /^172\.30\.0\.28\/16 +250\.0\.0\.0\/8 +up +enabled +-$/m,
  });

  await b.does(
    'run',
    '-d',
    '--name',
    'asker',
    '--network',
    'fan',
    IMAGE,
    '/bin/busybox',
    'sleep',
    '9999',
  );
  /** How long until B's container that runs has A's page again, ms. */
  const back = async (): Promise<number> => {
    const startMs = performance.now();
    await until('the page again', BACK_MS, async () => {
      return (await b.docker('exec', 'asker', ...ask(web))).out === 'page of host1';
    });
    return performance.now() - startMs;
  };
  await back();
  await runFanway(hostA, ['down', '-e', '--force']);
  await runFanway(hostA, UP);
  promised(t, 'fanway restarted under a container', await back(), BACK_MS);
  t.equal(await a.addressOf('web', 'fan'), web);

  await a.kill();
  await a.start();
  await until('the restart policy', 10_000, async () => {
    return (await a.docker('inspect', '-f', '{{.State.Running}}', 'web')).out.trim() === 'true';
  });
  await back();
  t.pass('dockerd restarted under fanway');
  const asked = ask(`${formatIpv4(hostA.address)}:8080`).slice(1);
  t.equal((await runOn(hostB, 'busybox', asked)).out, 'page of host1', '-p as well');

  // One that fails again and again is on the fan each time that its policy starts it.
  const fails = '/bin/busybox wget -q -O - http://web/; exit 1';
  await a.does(
    ...['run', '-d', '--name', 'fails', '--restart', 'on-failure:2', '--network', 'fan'],
    ...[IMAGE, '/bin/busybox', 'sh', '-c', fails],
  );
  await until('started again by its policy', 10_000, async () => {
    return (await a.docker('logs', 'fails')).out === 'page of host1'.repeat(3);
  });
  await a.does('rm', '-f', 'fails');

  // Both at once, fanway first.
  await runFanway(hostA, ['down', '-e', '--force']);
  await a.kill();
  await runFanway(hostA, UP);
  await a.start();
  await until('fanway, then Docker', 10_000, async () => {
    return (await a.docker('inspect', '-f', '{{.State.Running}}', 'web')).out.trim() === 'true';
  });
  await back();
  t.equal(await a.addressOf('web', 'fan'), web, 'it has its address');

  // Docker first at boot: nothing of the fan is there, and forwarding is off.
  await b.kill();
  await runFanway(hostB, ['down', '-e', '--force']);
  if ((await hostB.netlink.findLink(bridgeB)) !== undefined)
    await hostB.netlink.deleteLink(bridgeB);
  hostB.run(() => writeSysctl('net/ipv4/ip_forward', '0'));
  await b.start();
  t.equal((await hostB.netlink.findLink(bridgeB))?.kind, 'bridge', 'Docker made the bridge');
  const policy = await runOn(hostB, 'iptables', ['-S', 'FORWARD']);
  t.match(policy.out, /-P FORWARD DROP/, 'and shut the way through');
  await runFanway(hostB, UP);
  t.equal(await bridgeOf(hostB), bridgeB, 'fanway took it over');
  await b.does('start', 'asker');
  await back();

  // A container that Docker knows nothing of, with the first address of the slice.
  const other = lab.container(1);
  const address = (hostB.address & 0xffff) * 256 + 0xfa000000;
  await other.attach({ bridge: bridgeB, address, length: 8 });
  const echo = await runEcho(other, [web], { count: 3 });
  t.equal(echo.targets[0]?.received, 3, `${formatIpv4(address)} through Docker's policy`);

  const used = await fanwayWith(hostB, b.environment, 'docker', 'disable');
  t.match(used, { code: 3, err: /Docker keeps fan: asker is on it/ }, 'not under a container');
  await b.does('rm', '-f', 'asker');
  const gone = await fanwayWith(hostB, b.environment, 'docker', 'disable');
  t.match(gone, { code: 0, out: /network fan removed/ }, 'disable');
  t.match(await fanwayWith(hostB, b.environment, 'docker', 'disable'), { out: /no network fan/ });
  t.equal((await hostB.netlink.findLink(bridgeB))?.kind, 'bridge', 'the bridge stays');
  t.not(bridgeA, bridgeB);

  await b.kill();
  const nobody = await fanwayWith(hostB, b.environment, 'docker', 'enable');
  t.match(nobody, { code: 1, err: /no Docker runs here .*DOCKER_HOST/ });
  const tcp = { ...b.environment, DOCKER_HOST: 'tcp://10.0.0.1:2375' };
  t.match(await fanwayWith(hostB, tcp, 'docker', 'enable'), { code: 2, err: /DOCKER_HOST/ });
});
