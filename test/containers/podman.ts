/**
 * podman on a lab host: the one that is installed, or a newer one that .ci/newer-routers unpacked.
 * @module
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabHost } from '../../src/demo/lab.ts';
import { missingOf } from '../support/tools.ts';
import { runOn, type Said } from './dockerd.ts';
import { removeCgroups } from './lxd.ts';

/** Where .ci/newer-routers unpacked it. */
const NEWER = process.env['FANWAY_NEWER_ROUTERS'] ?? '';
/** podman's own limits are above what some machines allow. */
export const RUN = [
  'run',
  '--ulimit',
  'nofile=512:512',
  '--ulimit',
  'nproc=512:512',
  '--network',
  'fan',
];

/** Why this machine runs no podman, or false. */
export function skipWithoutPodman(): string | false {
  const missing = missingOf(['podman', 'runc', 'busybox', '/usr/lib/podman/netavark']);
  if (missing.length > 0) return `no ${missing.join(', ')} (podman runc busybox-static netavark)`;
  return process.geteuid?.() !== 0 && "root's podman needs root";
}

/** Why there is no newer podman, or false. */
export function skipWithoutNewerPodman(): string | false {
  if (NEWER === '' || !existsSync(join(NEWER, 'usr/bin/podman'))) {
    return 'needs .ci/newer-routers FOLDER, and FANWAY_NEWER_ROUTERS=FOLDER';
  }
  if (missingOf(['busybox']).length > 0) return 'no busybox (busybox-static)';
  return process.geteuid?.() !== 0 && "root's podman needs root";
}

/**
 * Its libraries over this system's, in one mount: programs of here run with newer ones too. Cgroups of version 2
 * alone, as it knows no others.
 */
const NEWER_SCENE = `
set -- "$1" "$(basename "$(dirname "$(ls -d "$2"/usr/lib/*-linux-gnu/libc.so.6)")")" "$2"
mount -t overlay overlay -o "lowerdir=$3/usr/lib/$2:/usr/lib/$2" "/usr/lib/$2" &&
mount -t cgroup2 none /sys/fs/cgroup &&`;

/**
 * podman with all that it keeps in the host's own directory, and a /run of its own: it notes there, in
 * one file for the machine, who has which address.
 */
export class Podman {
  readonly host: LabHost;
  readonly networks: string;
  /** Where it looks for plugins. */
  readonly plugins: string;
  readonly #isNewer: boolean;
  #place = 0;

  constructor(host: LabHost, release: 'installed' | 'newer' = 'installed') {
    this.host = host;
    this.#isNewer = release === 'newer';
    this.networks = join(host.runDirectory, 'networks');
    this.plugins = join(host.runDirectory, 'plugins');
    mkdirSync(this.networks);
    mkdirSync(this.plugins);
  }

  async start(): Promise<void> {
    const run = join(this.host.runDirectory, 'run');
    mkdirSync(run);
    const scene = this.#isNewer ? NEWER_SCENE : '';
    const script = `mount --make-rprivate / && mount --bind "$1" /run && ${scene} echo && exec sleep 1000`;
    const words = ['--mount', 'sh', '-c', script, 'sh', run, NEWER];
    const child = this.host.spawn('unshare', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`podman's mounts: exit ${code}`)));
    });
    this.#place = child.pid ?? 0;
    if (!this.#isNewer) return;
    const lines = [
      ...[
        '[network]',
        'network_backend = "netavark"',
        `netavark_plugin_dirs = ["${this.plugins}"]`,
      ],
      ...['[engine]', `helper_binaries_dir = ["${join(NEWER, 'usr/lib/podman')}"]`],
    ];
    writeFileSync(this.#at('containers.conf'), `${lines.join('\n')}\n`);
  }

  #at(name: string): string {
    return join(this.host.runDirectory, name);
  }

  run(...args: string[]): Promise<Said> {
    const places = ['--root', this.#at('storage'), '--runroot', this.#at('runroot')];
    const runtime = this.#isNewer ? join(NEWER, 'usr/bin/crun') : 'runc';
    const how = ['--tmpdir', this.#at('tmp'), '--cgroup-manager=cgroupfs', '--runtime', runtime];
    const own = ['--network-config-dir', this.networks, '--events-backend', 'none'];
    const program = this.#isNewer ? join(NEWER, 'usr/bin/podman') : 'podman';
    const enter = ['--mount', '--target', String(this.#place), '--', program];
    const words = [...enter, ...places, ...how, ...own, '--log-level', 'error', ...args];
    const env = { ...process.env, CONTAINERS_CONF: this.#at('containers.conf') };
    return runOn(this.host, 'nsenter', words, this.#isNewer ? env : process.env);
  }

  async does(...args: string[]): Promise<string> {
    const { code, out, err } = await this.run(...args);
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${err || out}`);
    return out.trim();
  }

  /** Takes its containers away, and the cgroup that it leaves. */
  async close(): Promise<void> {
    await this.run('rm', '-fa', '-t', '0');
    removeCgroups('libpod_parent');
  }
}
