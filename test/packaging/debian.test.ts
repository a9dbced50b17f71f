import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { attach, BRIDGE, nowMs, OVERLAY, Pulse, statusOf } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { findRoot } from '../style/sources.ts';
import { skipLong } from '../support/long.ts';
import { PATIENCE, until } from '../support/patience.ts';
import { buildPackage, CopiedRoot } from './copied-root.ts';

t.setTimeout(1_200_000);

const root = findRoot();
const nodejs = spawnSync('dpkg-query', ['-W', '-f', '\x24{Version}', 'nodejs'], {
  encoding: 'utf8',
});
const skip =
  skipWithoutTun() ||
  skipLong ||
  (root === '' && 'needs the sources') ||
  (!existsSync('/usr/bin/dpkg-deb') && 'needs dpkg-deb (package dpkg)');
const skipInstall =
  skip ||
  (Number.parseInt(nodejs.stdout ?? '', 10) < 20 && 'needs the package nodejs, 20 or later');

/** A container is reached again within this after an upgrade, ms. */
const BACK_MS = 2000;
/** What dpkg, man-db and systemd keep of a package that came and went. */
const KEPT =
  /^(var\/lib\/dpkg|var\/log|var\/cache|etc\/ld\.so\.cache|var\/lib\/systemd\/deb-systemd)/;

const out = mkdtempSync(join(tmpdir(), 'fanway-packages-'));
t.teardown(() => rmSync(out, { recursive: true, force: true }));

t.test('both packages are without an error to lintian', { skip }, async (t) => {
  const packages = buildPackage(root, out);
  t.equal(packages.length, 2);
  for (const path of packages) {
    const architecture = path.includes('arm64') ? 'arm64' : 'amd64';
    const field = spawnSync('dpkg-deb', ['-f', path, 'Architecture'], { encoding: 'utf8' });
    t.equal(field.stdout.trim(), architecture);
    const folder = join(out, architecture);
    spawnSync('dpkg-deb', ['-x', path, folder]);
    for (const name of ['koffi', 'netlink']) {
      const head = readFileSync(join(folder, `usr/lib/fanway/${name}.node`)).subarray(0, 20);
      // e_machine (elf(5)): EM_AARCH64 183, EM_X86_64 62.
      t.equal(
        head.readUInt16LE(18),
        architecture === 'arm64' ? 183 : 62,
        `${name}: ${architecture}`,
      );
    }
    t.equal(readlinkSync(join(folder, 'usr/bin/fanway')), '../lib/fanway/fanway.js');
  }
  t.test('lintian', async (t) => {
    const words = ['--fail-on', 'error', '--allow-root', ...packages];
    const lintian = spawnSync('lintian', words, { encoding: 'utf8' });
    if (lintian.error !== undefined) return void t.plan(0, 'lintian is not installed');
    t.equal(lintian.status, 0, lintian.stdout);
  });
});

t.test('installed, upgraded under traffic, removed, purged', { skip: skipInstall }, async (t) => {
  const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const [first = ''] = buildPackage(root, out, '--arch', own);
  const [second = ''] = buildPackage(root, out, '--arch', own, '--revision', '2');
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  const copy = await CopiedRoot.create(a);
  t.teardown(() => copy.close());
  const ok = async (what: string, command: string, ...words: string[]): Promise<string> => {
    const { code, output } = await copy.run(command, ...words);
    if (code !== 0) throw new Error(`${what}: exit ${code}: ${output}`);
    return output;
  };
  for (const path of [first, second]) copyFileSync(path, copy.path(`/run/${basename(path)}`));
  await ok('install', 'dpkg', '-i', `/run/${basename(first)}`);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  t.equal(await ok('version', 'fanway', '--version'), `fanway ${version}\n`);
  t.ok(existsSync(copy.path('/usr/share/man/man8/fanway-up.8.gz')), 'manual pages');
  t.ok(existsSync(copy.path('/usr/share/bash-completion/completions/fanway')), 'completion');

  const fan = ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE];
  await ok('up', 'fanway', ...fan);
  await runFanway(b, fan);
  for (const host of [a, b]) await attach(host);
  const pulse = await Pulse.start(lab.container(0), lab.container(1));
  t.teardown(() => pulse.stop());
  await pulse.back(nowMs(), 10_000);
  const status = () => statusOf({ ...a, runDirectory: copy.path('/run/fanway') } as LabHost);
  const before = await status();
  const since = nowMs();
  await ok('upgrade', 'dpkg', '-i', `/run/${basename(second)}`);
  await until('the router runs as installed now', 20_000, async () => {
    const now = await status().catch(() => undefined);
    return now !== undefined && now.pid !== before.pid && now.links[0]?.state === 'up';
  });
  const back = await pulse.back(nowMs(), BACK_MS);
  t.ok(back <= BACK_MS * PATIENCE, `a container is reached after it: ${Math.round(back)} ms`);
  const gaps = pulse.gaps(since);
  const pause = `the longest pause: ${Math.round(gaps.longestMs)} ms, ${gaps.lost} questions lost`;
  t.ok(gaps.longestMs <= BACK_MS * PATIENCE, pause);
  t.not((await status()).processes[0]?.pid, before.processes[0]?.pid, 'a new data process too');
  pulse.stop();

  await ok('remove', 'dpkg', '-r', 'fanway');
  const left = (await a.netlink.links()).filter(({ kind }) => kind === 'tun');
  t.same(left, [], 'removing takes the fan back');
  t.equal(
    (await a.netlink.findLink(BRIDGE))?.kind,
    'bridge',
    'but no bridge with containers on it',
  );
  await ok('purge', 'dpkg', '-P', 'fanway');
  const rest = copy.written().filter((path) => !KEPT.test(path));
  t.same(rest, [], 'purging leaves nothing behind');
});
