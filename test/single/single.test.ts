import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { hasCapability } from '../../src/sys/process/capabilities.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { statusOf } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import {
  type PodContainer,
  type PodSpec,
  readManifest,
  skipWithoutKubectl,
} from '../packaging/manifest.ts';
import { findRoot } from '../style/sources.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';

t.setTimeout(1_200_000);

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
  killIfThere(first?.pid ?? 0);
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

  const noPod =
    skipWithoutKubectl() ||
    (['runc', '/bin/busybox'].some((name) => spawnSync(name, ['--help']).error !== undefined) &&
      'no runc, or no busybox-static');
  await t.test("the Kubernetes manifest's containers, by runc", { skip: noPod }, (t) =>
    inPod(t, folder, lab),
  );

  t.test('it is the CNI plugin too', async (t) => {
    const result = spawnSync(...enter(folder, ['__fanway-cni', '--']), {
      encoding: 'utf8',
      input: '{"cniVersion":"1.1.0"}',
      env: { CNI_COMMAND: 'VERSION' },
    });
    t.equal(JSON.parse(result.stdout).cniVersion, '1.1.0');
  });
});

/** A program's words, in the mount namespace of a node whose own folders are below `node`. */
const ON_NODE = `for folder in opt run var; do mount -t tmpfs tmpfs "/$folder" || exit 99; done
mkdir -p /opt/cni/bin /run/fanway /var/lib/fanway
for folder in opt/cni/bin run/fanway var/lib/fanway; do mount --bind "$0/$folder" "/$folder" || exit 99; done
exec "$@"`;

/** What runc is told of a container of the manifest's; `network`: the namespace that is the node's. */
function bundleOf(
  container: PodContainer,
  pod: PodSpec,
  rootfs: string,
  node: string,
  network: string,
): object {
  const privileged = container.securityContext?.privileged === true;
  const all = privileged ? ownCapabilities() : [];
  const capabilities = { bounding: all, effective: all, permitted: all };
  const volumes = new Map(pod.volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
  const bind = (source: string, destination: string): object => {
    return { type: 'none', source, destination, options: ['rbind', 'rw'] };
  };
  return {
    ociVersion: '1.0.2',
    process: {
      ...{ user: { uid: 0, gid: 0 }, cwd: '/', capabilities },
      args: [...(container.command ?? ['/usr/local/bin/fanway']), ...(container.args ?? [])],
      env: ['PATH=/usr/local/bin:/bin'],
    },
    root: { path: rootfs },
    mounts: [
      { type: 'proc', source: 'proc', destination: '/proc' },
      ...(privileged ? [bind('/dev', '/dev')] : []),
      ...container.volumeMounts.map(({ name, mountPath }) =>
        bind(join(node, volumes.get(name) ?? '/config'), mountPath),
      ),
    ],
    linux: {
      cgroupsPath: `/fanway-test-${process.pid}-${container.name}`,
      namespaces: [
        ...['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
        { type: 'network', path: network },
      ],
    },
  };
}

/** What a privileged container has here: nobody can give more than there is. */
function ownCapabilities(): string[] {
  const more = [
    'NET_ADMIN',
    'NET_RAW',
    'SETUID',
    'SETGID',
    'SETPCAP',
    'SYS_ADMIN',
    'SYS_NICE',
  ] as const;
  const names: string[] = more.filter((name) => hasCapability(name));
  // What every runtime gives by itself.
  names.push('CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'SYS_CHROOT');
  return names.map((name) => `CAP_${name}`);
}

async function inPod(t: Test, folder: string, lab: Lab): Promise<void> {
  const [a, b] = [lab.host(0), lab.host(1)];
  const objects = readManifest();
  const pod = objects.find(({ kind }) => kind === 'DaemonSet')?.spec?.template.spec;
  const config = objects.find(({ kind }) => kind === 'ConfigMap')?.data?.['fanway.conf'];
  if (pod === undefined || config === undefined) throw new Error('no pod, or no configuration');
  const node = mkdtempSync(join(tmpdir(), 'fanway-node-'));
  t.teardown(() => rmSync(node, { recursive: true, force: true }));
  for (const path of ['config', ...pod.volumes.map(({ hostPath }) => hostPath?.path ?? '')]) {
    mkdirSync(join(node, path), { recursive: true });
  }
  writeFileSync(join(node, 'config/fanway.conf'), config.replace('default/16', 'eth0/16'));
  for (const path of ['usr/local/bin', 'bin', 'tmp'])
    mkdirSync(join(folder, path), { recursive: true });
  linkSync(join(folder, 'fanway'), join(folder, 'usr/local/bin/fanway'));
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'));
  for (const name of ['sh', 'sleep']) symlinkSync('busybox', join(folder, 'bin', name));

  const running: { id: string; child: ChildProcess }[] = [];
  const state = join(node, 'runc');
  t.teardown(async () => {
    for (const { id, child } of running) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      const isOver = child.exitCode !== null || child.signalCode !== null;
      spawnSync('runc', ['--root', state, 'kill', id, 'KILL']);
      if (!isOver) await ended;
      spawnSync('runc', ['--root', state, 'delete', '--force', id]);
    }
  });
  const network = `/proc/${process.pid}/fd/${a.namespace.fd}`;
  for (const container of pod.containers) {
    const bundle = join(node, container.name);
    mkdirSync(bundle);
    const file = bundleOf(container, pod, folder, node, network);
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(file));
    const id = `fanway-${process.pid}-${container.name}`;
    const words = ['--root', state, 'run', '--bundle', bundle, id];
    const log = openSync(join(node, `${container.name}.log`), 'w');
    running.push({ id, child: spawn('runc', words, { stdio: ['ignore', log, log] }) });
    closeSync(log);
  }
  const plugin = join(node, 'opt/cni/bin/fanway-cni');
  const list = join(node, 'etc/cni/net.d/10-fanway.conflist');
  await until('the plugin is on the node', 20_000, () => {
    const gone = running.find(({ child }) => child.exitCode !== null);
    if (gone !== undefined) {
      const said = pod.containers.map(({ name }) =>
        readFileSync(join(node, `${name}.log`), 'utf8'),
      );
      throw new Error(`${gone.id} ended: ${said.join('\n')}`);
    }
    return existsSync(plugin) && existsSync(list);
  });
  const conflist: unknown = JSON.parse(readFileSync(list, 'utf8'));
  t.match(conflist, { name: 'fan', plugins: [{ type: 'fanway-cni' }] });

  // As the node's own runtime calls it, which sees nothing of the pod.
  const workload = lab.container(0);
  const call = (command: string): { code: number | null; out: string } => {
    const words = ['--mount', 'sh', '-c', ON_NODE, node, '/opt/cni/bin/fanway-cni'];
    const { status, stdout } = a.run(() =>
      spawnSync('unshare', words, {
        encoding: 'utf8',
        input: JSON.stringify({ cniVersion: '1.0.0', name: 'fan', type: 'fanway-cni' }),
        env: {
          ...{ PATH: process.env['PATH'], CNI_COMMAND: command, CNI_CONTAINERID: 'pod-1' },
          ...{ CNI_NETNS: `/proc/${process.pid}/fd/${workload.namespace.fd}`, CNI_IFNAME: 'net1' },
        },
      }),
    );
    return { code: status, out: stdout };
  };
  const added = call('ADD');
  t.equal(added.code, 0, added.out);
  t.match(JSON.parse(added.out), { ips: [{ address: /^250\.0\.28\.\d+\/8$/ }] }, 'of the slice');
  const gateway = (await statusOf(b)).links[0]?.gateway ?? '';
  await until('a pod reaches the other node', 10_000, async () => {
    const [target] = (await runEcho(workload, [gateway], { count: 1 })).targets;
    return target?.received === 1;
  });
  t.equal(call('DEL').code, 0);
}

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
