import type { ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { attach, BRIDGE, nowMs, OVERLAY, Pulse, statusOf } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { findRoot } from '../style/sources.ts';
import { skipLong } from '../support/long.ts';
import { PATIENCE, until } from '../support/patience.ts';
import { buildPackage, CopiedRoot, ended, SPAWN } from './copied-root.ts';

t.setTimeout(1_200_000);

const root = findRoot();
const skip =
  skipWithoutTun() ||
  skipLong ||
  (root === '' && 'needs the sources') ||
  (!existsSync('/usr/bin/systemd-nspawn') && 'needs systemd-nspawn (package systemd-container)') ||
  (!existsSync('/usr/bin/dpkg-deb') && 'needs dpkg-deb (package dpkg)');

/** A container is reached again within this, ms, whatever is done to the service: systemd waits 1 s. */
const BACK_MS = 4000;
/** As in test/cli/packaging.test.ts, but as the running system reckons it. */
const EXPOSURE_MAX = 2.5;
const BOOT_MS = 30_000;

const TARGET = `[Unit]
Description=The service and what it needs
Requires=basic.target
Wants=fanway.service
After=basic.target
AllowIsolate=yes
`;

/** Open to all, as udev makes it. */
const TUN_NODE = 'c! /dev/net/tun 0666 root root - 10:200\n';

/** The child of `pid` that is process 1 of a namespace, 0 when there is none (yet). */
function firstProcessOf(pid: number): number {
  for (const name of readdirSync('/proc')) {
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      const isChild = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]) === pid;
      if (isChild && /^NSpid:.*\t1$/m.test(status)) return Number(name);
    } catch {
      // No process, or gone.
    }
  }
  return 0;
}

/** systemd as process 1 of a copy of this machine, in the network of a lab's host. */
class Machine {
  readonly #host: LabHost;
  readonly #container: ChildProcess;
  #leader = 0;
  #said = '';

  constructor(host: LabHost, copy: CopiedRoot) {
    this.#host = host;
    this.#container = copy.spawn('systemd-nspawn', [
      ...['--quiet', '--boot', '--register=no', '--keep-unit', '--capability=all'],
      ...[`--network-namespace-path=/proc/${process.pid}/fd/${host.namespace.fd}`],
      ...['--directory', copy.bare, 'systemd.unit=fanway-test.target'],
    ]);
    for (const pipe of [this.#container.stdout, this.#container.stderr]) {
      pipe?.on('data', (chunk: Buffer) => {
        this.#said = `${this.#said}${chunk.toString()}`.slice(-4000);
      });
    }
  }

  /** Waits until the manager answers. */
  async booted(): Promise<void> {
    await until('process 1', BOOT_MS, () => {
      if (this.#container.exitCode !== null) throw new Error(`no container: ${this.#said}`);
      this.#leader = firstProcessOf(this.#container.pid ?? 0);
      return this.#leader > 0;
    });
    await until('systemd answers', BOOT_MS, async () => {
      const { code } = await this.run('systemctl', 'show', '--property=Version');
      return code === 0;
    });
  }

  run(command: string, ...words: string[]) {
    const enter = [
      '--mount',
      '--pid',
      '--uts',
      '--ipc',
      '--cgroup',
      '--target',
      String(this.#leader),
    ];
    return ended(this.#host.spawn('nsenter', [...enter, '--', command, ...words], SPAWN));
  }

  async ok(command: string, ...words: string[]): Promise<string> {
    const { code, output } = await this.run(command, ...words);
    if (code !== 0) {
      const { output: journal } = await this.run(
        'journalctl',
        '-n',
        '40',
        '-u',
        'fanway',
        '--no-pager',
      );
      throw new Error(`${command} ${words.join(' ')}: exit ${code}: ${output}\n${journal}`);
    }
    return output;
  }

  /** A path inside as processes outside reach it. */
  path(inside: string): string {
    return join(`/proc/${this.#leader}/root`, inside);
  }

  close(): void {
    if (this.#leader > 0) {
      try {
        process.kill(this.#leader, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    this.#container.kill('SIGKILL');
  }
}

t.test('the service under systemd as process 1', { skip }, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'fanway-packages-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const [first = ''] = buildPackage(root, out, '--arch', own);
  const [second = ''] = buildPackage(root, out, '--arch', own, '--revision', '2');
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  const copy = await CopiedRoot.create(a);
  t.teardown(() => copy.close());

  for (const path of [first, second]) copyFileSync(path, copy.path(`/root/${basename(path)}`));
  const installed = await copy.run('dpkg', '-i', `/root/${basename(first)}`);
  t.equal(installed.code, 0, installed.output);
  const conf = copy.path('/etc/fanway/fanway.conf');
  mkdirSync(dirname(conf), { recursive: true });
  writeFileSync(
    conf,
    `[fan]\noverlay = ${OVERLAY}\nunderlay = eth0/16\nbridge = ${BRIDGE}\n[gossip]\n`,
  );
  // Images for containers forbid packages to touch services.
  rmSync(copy.path('/usr/sbin/policy-rc.d'), { force: true });
  writeFileSync(copy.path('/etc/systemd/system/fanway-test.target'), TARGET);
  writeFileSync(copy.path('/etc/tmpfiles.d/fanway-test.conf'), TUN_NODE);
  const keygen = await copy.run('fanway', 'keygen', '--out', '/var/lib/fanway/gossip.key');
  t.equal(keygen.code, 0, keygen.output);
  const machine = new Machine(a, copy);
  t.teardown(() => machine.close());
  await machine.booted();

  await runFanway(b, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE]);
  const isActive = (what: string) =>
    until(
      what,
      BOOT_MS,
      async () => (await machine.run('systemctl', 'is-active', 'fanway')).code === 0,
    );
  await isActive('the service is up');
  const status = () => statusOf({ ...a, runDirectory: machine.path('/run/fanway') } as LabHost);
  for (const host of [a, b]) await attach(host);
  const pulse = await Pulse.start(lab.container(0), lab.container(1));
  t.teardown(() => pulse.stop());
  await pulse.back(nowMs(), 10_000);
  const [data] = (await status()).processes;
  // What takes CAP_SYS_ADMIN, which the unit has not; it says so.
  t.match(data?.confinementGaps, [/^sees the host's files \(.*EPERM/]);
  t.equal(data?.confinementGaps.length, 1);
  const score = await machine.ok('systemd-analyze', 'security', 'fanway.service', '--no-pager');
  t.ok(Number(/exposure level for fanway\.service: ([0-9.]+)/.exec(score)?.[1]) <= EXPOSURE_MAX);

  const undisturbed = async (what: string, how: () => Promise<unknown>): Promise<void> => {
    const since = nowMs();
    await how();
    await isActive(`${what}: the service is up`);
    await pulse.back(nowMs(), BACK_MS);
    const { longestMs, lost } = pulse.gaps(since);
    t.ok(
      longestMs <= BACK_MS * PATIENCE,
      `${what}: ${Math.round(longestMs)} ms, ${lost} questions lost`,
    );
  };
  await undisturbed('reload', () => machine.ok('systemctl', 'reload', 'fanway'));
  await undisturbed('restart', () => machine.ok('systemctl', 'restart', 'fanway'));
  // What root is told to type, with the key of a service that has a user of its own.
  t.match(await machine.ok('fanway', 'status'), /fan-250/);
  await machine.ok('fanway', 'keygen', '--out', '/root/new.key');
  await machine.ok('fanway', 'key', 'add', '/root/new.key');
  await undisturbed('a restart with the new key', () =>
    machine.ok('systemctl', 'restart', 'fanway'),
  );
  t.match(await machine.ok('fanway', 'key', 'list'), /in use[\s\S]*accepted/);
  const before = await status();
  await undisturbed('upgrade', async () => {
    await machine.ok('dpkg', '-i', `/root/${basename(second)}`);
    await until('the router runs as installed now', BOOT_MS, async () => {
      const now = await status().catch(() => undefined);
      return now !== undefined && now.pid !== before.pid && now.links[0]?.state === 'up';
    });
  });
  await undisturbed('kill -9 of everything', () =>
    machine.ok('systemctl', 'kill', '-s', 'KILL', 'fanway'),
  );
  await machine.ok('dpkg', '-P', 'fanway');
  t.not((await machine.run('systemctl', 'is-active', 'fanway')).code, 0, 'purged: it has stopped');
  t.notOk(existsSync(copy.path('/var/lib/private/fanway')), 'and its state is gone');
});
