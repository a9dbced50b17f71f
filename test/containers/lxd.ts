/**
 * A real LXD or Incus on a lab host: the daemon in mount and PID namespaces of its own with nothing but cgroup v2
 * (version 1 it cannot limit on machines that have both), a /sys that shows the host's devices, and all that
 * it keeps in the host's directory.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabHost } from '../../src/demo/lab.ts';
import type { ContainerManager } from '../../src/plugins/lxd/api.ts';
import { until } from '../support/patience.ts';
import { missingOf } from '../support/tools.ts';
import { runOn, type Said } from './dockerd.ts';

const BUSYBOX = '/bin/busybox';
const APPLETS = ['sh', 'mount', 'ip', 'udhcpc', 'httpd', 'wget', 'timeout', 'sleep', 'ping'];
const IMAGE = 'bb';

/** How the two are called: daemon, client, the variable with the directory, package. */
const PROGRAMS = {
  lxd: { daemon: 'lxd', client: 'lxc', variable: 'LXD_DIR', from: 'lxd' },
  incus: { daemon: 'incusd', client: 'incus', variable: 'INCUS_DIR', from: 'incus-base' },
} as const satisfies Record<ContainerManager, object>;

/** Why this machine runs no such manager, or false. */
export function skipWithout(manager: ContainerManager): string | false {
  const { daemon, client, from } = PROGRAMS[manager];
  const missing = missingOf([daemon, client, 'busybox', 'dnsmasq', 'unshare']);
  if (missing.length > 0) return `no ${missing.join(', ')} (${from} busybox-static dnsmasq-base)`;
  return process.geteuid?.() !== 0 && `${manager} needs root`;
}

/**
 * A container's whole system under `root`: a web server of one page, and DHCP on its only interface,
 * which is called `eth0` unless said otherwise.
 */
export function makeSystem(root: string, page: string, device = 'eth0'): void {
  const folders = [
    'bin',
    'sbin',
    'etc',
    'proc',
    'sys',
    'dev',
    'tmp',
    'run',
    'var',
    'root',
    'www',
    'usr/lib',
  ];
  for (const name of folders) mkdirSync(join(root, name), { recursive: true });
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
  for (const name of APPLETS) symlinkSync('/bin/busybox', join(root, 'bin', name));
  symlinkSync('/bin/busybox', join(root, 'sbin/init'));
  const inittab = [
    `::respawn:/bin/udhcpc -f -i ${device} -s /etc/lease`,
    '::respawn:/bin/httpd -f -p 80 -h /www',
  ];
  writeFileSync(join(root, 'etc/inittab'), `${inittab.join('\n')}\n`);
  writeFileSync(join(root, 'etc/os-release'), 'ID=busybox\n');
  const lease = [
    '#!/bin/sh',
    'ip link set "$interface" up',
    '[ "$1" = bound ] && ip addr add "$ip/$mask" dev "$interface"',
    'exit 0',
  ];
  writeFileSync(join(root, 'etc/lease'), `${lease.join('\n')}\n`);
  chmodSync(join(root, 'etc/lease'), 0o755);
  writeFileSync(join(root, 'www/index.html'), page);
}

/** The same as an image that LXD imports: a tar in `directory`. */
function makeInstanceImage(directory: string, page: string): string {
  const tree = mkdtempSync(join(tmpdir(), 'fanway-lxd-image-'));
  makeSystem(join(tree, 'rootfs'), page);
  const metadata = {
    architecture: process.arch === 'arm64' ? 'aarch64' : 'x86_64',
    creation_date: 1,
  };
  writeFileSync(join(tree, 'metadata.yaml'), `${JSON.stringify(metadata)}\n`);
  const tar = join(directory, 'instance.tar.gz');
  execFileSync('tar', ['-C', tree, '-czf', tar, 'metadata.yaml', 'rootfs']);
  rmSync(tree, { recursive: true });
  return tar;
}

const SCRIPT = `
mount --make-rprivate / && mount -t tmpfs tmpfs /run || exit 1
mount -t sysfs sysfs /sys && mount -t cgroup2 none /sys/fs/cgroup || exit 1
exec "$1" --group root >"$2/log" 2>&1
`;

/** Removes the cgroups v2 of these names, which LXC makes and leaves, where no process is in them. */
export function removeCgroups(...names: string[]): void {
  for (const mount of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']) {
    for (const cgroup of names.map((name) => join(mount, name))) {
      const events = join(cgroup, 'cgroup.events');
      if (!existsSync(events) || readFileSync(events, 'utf8').includes('populated 1')) continue;
      const inner = readdirSync(cgroup, { withFileTypes: true }).filter((entry) =>
        entry.isDirectory(),
      );
      for (const { name } of inner) rmdirSync(join(cgroup, name));
      rmdirSync(cgroup);
    }
  }
}

export class Lxd {
  readonly host: LabHost;
  readonly #programs: (typeof PROGRAMS)[ContainerManager];
  readonly #directory: string;
  #child: ChildProcess | undefined;

  constructor(host: LabHost, manager: ContainerManager) {
    this.host = host;
    this.#programs = PROGRAMS[manager];
    this.#directory = join(host.runDirectory, manager);
    mkdirSync(this.#directory);
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...this.host.environment, [this.#programs.variable]: this.#directory };
  }

  /** Runs `lxc ARGS`, or `incus ARGS`, without an input. */
  lxc(...args: string[]): Promise<Said> {
    return runOn(this.host, this.#programs.client, args, this.environment);
  }

  /** The same, and what it printed. @throws Error when it fails. */
  async does(...args: string[]): Promise<string> {
    const { code, out, err } = await this.lxc(...args);
    if (code !== 0) throw new Error(`${this.#programs.client} ${args.join(' ')}: ${err || out}`);
    return out.trim();
  }

  /** Starts it, waits until it answers, and gives it an image and a place for instances. */
  async start(page: string): Promise<void> {
    const flags = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const words = ['-c', SCRIPT, 'sh', this.#programs.daemon, this.#directory];
    const child = this.host.spawn('unshare', [...flags, 'sh', ...words], {
      ...{ env: this.environment, stdio: 'ignore' },
    });
    this.#child = child;
    await until('the daemon answers', 20_000, async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${this.#directory}/log`);
      return (await this.lxc('query', '/1.0')).code === 0;
    });
    await this.does('storage', 'create', 'default', 'dir');
    await this.does(
      'profile',
      'device',
      'add',
      'default',
      'root',
      'disk',
      'path=/',
      'pool=default',
    );
    const image = makeInstanceImage(this.host.runDirectory, page);
    await this.does('image', 'import', image, '--alias', IMAGE);
  }

  /** A running instance with these profiles; its address once DHCP gave one. */
  async launch(name: string, ...profiles: string[]): Promise<string> {
    const chosen = profiles.flatMap((profile) => ['--profile', profile]);
    await this.does('launch', IMAGE, name, ...chosen, '--config', 'security.privileged=true');
    return await this.addressOf(name);
  }

  async addressOf(name: string): Promise<string> {
    let address = '';
    await until(`${name} has an address`, 20_000, async () => {
      const said = await this.lxc('exec', name, '--', 'ip', '-4', 'addr', 'show', 'eth0');
      address = /inet ([0-9.]+)\//.exec(said.out)?.[1] ?? '';
      return address !== '';
    });
    return address;
  }

  /** What the web server at `address` says to an instance. */
  get(name: string, address: string): Promise<Said> {
    return this.lxc(
      'exec',
      name,
      '--',
      'timeout',
      '5',
      'wget',
      '-q',
      '-O',
      '-',
      `http://${address}/`,
    );
  }

  /** Takes the instances away, then ends the daemon as a power cut does. */
  async close(): Promise<void> {
    const { out } = await this.lxc('list', '--format', 'csv', '--columns', 'n');
    for (const name of out.split('\n').filter(Boolean)) await this.lxc('delete', '-f', name);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    removeCgroups('lxc.pivot');
  }
}
