import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { statusOf } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { findRoot } from '../style/sources.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';

t.setTimeout(300_000);

const root = findRoot();
const skip = skipWithoutTun() || skipLong || (root === '' && 'needs the sources');

/** A root with the C and C++ libraries that Node asks for, the single file, and nothing else. */
function emptyRoot(folder: string): void {
  // Data processes run as users of their own, and mkdtemp makes what only its owner may enter.
  chmodSync(folder, 0o755);
  execFileSync(
    process.execPath,
    [join(root, 'packaging/single.mjs'), '--out', join(folder, 'fanway')],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  rmSync(join(folder, 'fanway.LICENSES'));
  const wanted = execFileSync('ldd', [join(folder, 'fanway')], { encoding: 'utf8' });
  for (const [, path = ''] of wanted.matchAll(/(?:=> )?(\/\S+) \(0x/g)) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    copyFileSync(path, join(folder, path));
  }
  for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(folder, name));
}

// The kernel's own file systems come from this machine, in a mount namespace that goes with the program.
const ENTER = `for name in proc sys dev; do mount --rbind /$name "$0/$name" || exit 99; done
exec chroot "$0" /fanway "$@"`;
const enter = (folder: string, words: readonly string[]): [string, string[]] => [
  'unshare',
  ['--mount', 'sh', '-c', ENTER, folder, ...words],
];

/** Runs the single file in the root on a lab's host, whose run directory lies in there too. */
function run(host: LabHost, folder: string, ...words: string[]): Promise<string> {
  const child: ChildProcess = host.spawn(...enter(folder, words), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { FANWAY_RUN_DIR: '/run-fanway' },
  });
  let said = '';
  for (const pipe of [child.stdout, child.stderr]) {
    pipe?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === 0) resolve(said);
      else reject(new Error(`fanway ${words.join(' ')}: exit ${code}: ${said}`));
    });
  });
}

t.test('one file routes on a machine with no Node, no shell, nothing', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-empty-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  emptyRoot(folder);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const before = readdirSync(folder).sort();

  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  t.equal(await run(a, folder, '--version'), `fanway ${version}\n`);
  t.match(await run(a, folder, 'doctor'), /UDP_SEGMENT/);
  t.same(readdirSync(folder).sort(), before, 'its native code left nothing behind');

  const fan = ['250.0.0.0/8', 'eth0/16', 'bridge', 'fan-250'];
  await runFanway(b, ['up', ...fan]);
  await run(a, folder, 'up', ...fan);
  const status = async () =>
    statusOf({ ...a, runDirectory: join(folder, 'run-fanway') } as LabHost);
  const gateway = (await statusOf(b)).links[0]?.gateway ?? '';
  const isReached = async () =>
    (await runEcho(a, [gateway], { count: 5 })).targets.every(
      ({ sent, received }) => sent === received,
    );
  await until('the other host answers', 10_000, isReached);

  const first = (await status()).processes[0];
  // No setpriv here, and a chroot cannot be emptied: both are told, and nothing else is missing.
  const told = /^(bounding set not empty|sees the host's files)/;
  t.same(
    first?.confinementGaps.filter((gap) => !told.test(gap)),
    [],
  );
  process.kill(first?.pid ?? 0, 'SIGKILL');
  await until('the file started itself again as data process', 10_000, async () => {
    const next = (await status()).processes[0];
    return next?.alive === true && next.pid !== first?.pid;
  });
  await until('the other host answers again', 10_000, isReached);

  process.kill((await status()).pid, 'SIGKILL');
  await until('and as control process, without a shell', 20_000, async () => {
    const now = await status().catch(() => undefined);
    return now?.links[0]?.state === 'up';
  });
  await until('the other host answers once more', 10_000, isReached);
  await run(a, folder, 'down', ...fan);
  t.equal(await a.netlink.findLink('fan-250'), undefined, 'down takes everything back');

  t.test('it is the CNI plugin too', async (t) => {
    const result = spawnSync(...enter(folder, ['__fanway-cni', '--']), {
      encoding: 'utf8',
      input: '{"cniVersion":"1.1.0"}',
      env: { CNI_COMMAND: 'VERSION' },
    });
    t.equal(JSON.parse(result.stdout).cniVersion, '1.1.0');
  });
});

t.test('a Node that cannot carry it is named, with what can', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-single-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  // Debian's own is a small program around a library: here a script around this one.
  const node = join(folder, 'node');
  writeFileSync(node, `#!/bin/sh\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 });
  const words = [join(root, 'packaging/single.mjs'), '--node', node, '--out', join(folder, 'out')];
  const result = spawnSync(process.execPath, words, { encoding: 'utf8' });
  t.not(result.status, 0);
  t.match(result.stderr, /not an ELF program/);
});
