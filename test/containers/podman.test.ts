import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { makeImage, runOn, type Said } from './dockerd.ts';

t.setTimeout(1_200_000);

const UP = ['up', '250.0.0.0/8', 'eth0/16'];
const IMAGE = 'bb';
/** podman's own limits are above what some machines allow. */
const RUN = ['run', '--ulimit', 'nofile=512:512', '--ulimit', 'nproc=512:512', '--network', 'fan'];

/** Why this machine runs no podman, or false. */
function skipWithoutPodman(): string | false {
  const missing = ['podman', 'runc', 'busybox'].filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length > 0) return `no ${missing.join(', ')} (podman runc busybox-static)`;
  return process.geteuid?.() !== 0 && "root's podman needs root";
}

/**
 * podman with all that it keeps in the host's own directory, and a /run of its own: it notes there, in
 * one file for the machine, who has which address.
 */
class Podman {
  readonly host: LabHost;
  readonly networks: string;
  #place = 0;

  constructor(host: LabHost) {
    this.host = host;
    this.networks = join(host.runDirectory, 'networks');
    mkdirSync(this.networks);
  }

  async start(): Promise<void> {
    const run = join(this.host.runDirectory, 'run');
    mkdirSync(run);
    const script = 'mount --make-rprivate / && mount --bind "$1" /run && echo && exec sleep 1000';
    const child = this.host.spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', run], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    this.#place = child.pid ?? 0;
  }

  run(...args: string[]): Promise<Said> {
    const at = (name: string): string => join(this.host.runDirectory, name);
    const places = ['--root', at('storage'), '--runroot', at('runroot'), '--tmpdir', at('tmp')];
    const how = ['--cgroup-manager=cgroupfs', '--runtime', 'runc', '--log-level', 'error'];
    const own = [...places, '--network-config-dir', this.networks, '--events-backend', 'none'];
    const enter = ['--mount', '--target', String(this.#place), '--', 'podman'];
    return runOn(this.host, 'nsenter', [...enter, ...own, ...how, ...args]);
  }

  async does(...args: string[]): Promise<string> {
    const { code, out, err } = await this.run(...args);
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${err || out}`);
    return out.trim();
  }
}

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

  t.teardown(() => Promise.all(pods.map((podman) => podman.run('rm', '-fa', '-t', '0'))));
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
