/**
 * BGP routers that no one here wrote, each in the namespace of a lab's host: FRR's bgpd (alone, or
 * with zebra and a kernel VXLAN device), GoBGP and BIRD. They are those that are installed, or newer
 * ones that .ci/newer-routers unpacked, which run with libraries and a loader of their own.
 * @module
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabHost } from '../../../src/demo/lab.ts';
import { until } from '../../support/patience.ts';

const FRR = '/usr/lib/frr';
/** Where .ci/newer-routers unpacked them. */
const NEWER = process.env['FANWAY_NEWER_ROUTERS'] ?? '';
/** Which programs: those of this system, or the newer ones. */
export type Release = 'installed' | 'newer';
/** Anything these programs are asked is answered in a moment; more is a fault of the test. */
const ASK_MS = 20_000;

function isThere(name: string, ...folders: string[]): boolean {
  return folders.some((folder) => existsSync(join(folder, name)));
}

/** Why FRR cannot be started here, or false. */
export function whyNoFrr(): string | false {
  const has = isThere('bgpd', FRR) && isThere('zebra', FRR) && isThere('vtysh', '/usr/bin');
  return !has && 'needs FRR: apt-get install frr';
}

/** The number of FRR's user (-u) or group (-g). */
function idOfFrr(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'frr'], { encoding: 'utf8' }));
}

/** Why GoBGP cannot be started here, or false. */
export function whyNoGobgp(): string | false {
  const has = isThere('gobgpd', '/usr/bin', '/usr/sbin') && isThere('gobgp', '/usr/bin');
  return !has && 'needs GoBGP: apt-get install gobgpd';
}

/** Why there are no newer routers, or false. */
export function whyNoNewer(): string | false {
  const has = NEWER !== '' && existsSync(join(NEWER, 'usr/bin/gobgpd'));
  return !has && 'needs .ci/newer-routers FOLDER, and FANWAY_NEWER_ROUTERS=FOLDER';
}

function entryOf(folder: string, pattern: RegExp): string {
  const name = readdirSync(folder).find((each) => pattern.test(each));
  if (name === undefined) throw new Error(`${folder} has no ${pattern}`);
  return join(folder, name);
}

/** Their YANG modules are where FRR's daemons look for them, in a mount namespace of its own. */
const WITH_SHARE = ['-c', 'mount --bind "$0/usr/share" /usr/share && exec "$@"', NEWER];

/** The words that start a program. */
function programOf(release: Release, path: string): [string, ...string[]] {
  if (release === 'installed') return [path];
  if (path.startsWith(FRR)) {
    return ['/usr/bin/unshare', '--mount', '--', '/bin/sh', ...WITH_SHARE, ...loaded(path)];
  }
  return loaded(path);
}

/** With its own loader and libraries. */
function loaded(path: string): [string, ...string[]] {
  const libraries = entryOf(join(NEWER, 'usr/lib'), /-linux-gnu$/);
  const loader = entryOf(libraries, /^ld-linux-.*\.so\.\d$/);
  const found = `${libraries}:${join(libraries, 'frr')}`;
  return [loader, '--library-path', found, join(NEWER, path)];
}

/** Runs a program in a host's namespace and returns what it wrote; its failure is an error. */
export function ask(host: LabHost, command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = host.spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const late = setTimeout(() => child.kill('SIGKILL'), ASK_MS);
    let out = '';
    let err = '';
    child.stdout?.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      err += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(late);
      if (code === 0) resolve(out);
      else reject(new Error(`${command} ${args.join(' ')}: ${code} ${err || out}`));
    });
  });
}

/** Resolves when a process has ended. */
function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

export class Frr {
  readonly host: LabHost;
  readonly #release: Release;
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];

  private constructor(host: LabHost, release: Release) {
    this.host = host;
    this.#release = release;
    // FRR's programs give up root at once, and its folder must be theirs.
    this.#folder = mkdtempSync(join(tmpdir(), 'fanway-frr-'));
    chownSync(this.#folder, idOfFrr('-u'), idOfFrr('-g'));
  }

  /** Starts bgpd, and zebra where routes are to reach the kernel; answers when vtysh does. */
  static async start(
    host: LabHost,
    config: string,
    kernel = false,
    release: Release = 'installed',
  ): Promise<Frr> {
    const frr = new Frr(host, release);
    writeFileSync(join(frr.#folder, 'vtysh.conf'), '');
    if (kernel) frr.#spawn('zebra', '', []);
    await frr.startBgpd(config, kernel);
    return frr;
  }

  async startBgpd(config: string, kernel = false): Promise<void> {
    this.#spawn('bgpd', config, kernel ? [] : ['-Z']);
    await until('bgpd answers', 5000, () => this.show('show version').then(Boolean, () => false));
  }

  #spawn(name: string, config: string, more: string[]): void {
    const file = join(this.#folder, `${name}.conf`);
    writeFileSync(file, config);
    const own = join(this.#folder, name);
    const args = ['-f', file, '-i', `${own}.pid`, '-z', join(this.#folder, 'zserv')];
    args.push('--vty_socket', this.#folder, '-P', '0', ...more);
    const [command, ...words] = programOf(this.#release, join(FRR, name));
    this.#children.push(this.host.spawn(command, [...words, ...args], { stdio: 'ignore' }));
  }

  /** Of bgpd. */
  get pid(): number {
    return this.#children.at(-1)?.pid ?? 0;
  }

  /** What vtysh prints. */
  show(...commands: string[]): Promise<string> {
    const args = ['--vty_socket', this.#folder, '--config_dir', this.#folder];
    for (const command of commands) args.push('-c', command);
    const [command, ...words] = programOf(this.#release, '/usr/bin/vtysh');
    return ask(this.host, command, [...words, ...args]);
  }

  async json(command: string): Promise<unknown> {
    return JSON.parse(await this.show(`${command} json`));
  }

  /** Ends all of it and removes its folder. */
  async close(): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGKILL');
      await gone(child);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Ends bgpd, with a word to its neighbours (SIGTERM) or without (SIGKILL). */
  async endBgpd(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#children.pop();
    child?.kill(signal);
    if (child !== undefined) await gone(child);
  }
}

/** GoBGP's programs are found by name where they are installed. */
function programPath(name: string, release: Release): string {
  return release === 'installed' ? name : join('usr/bin', name);
}

/** A configuration with one neighbour of its own AS 65000, which has to connect; EVPN alone. */
export function gobgpWaitingFor(neighbour: string, routerId: string): string {
  return `[global.config]
as = 65000
router-id = "${routerId}"
[[neighbors]]
[neighbors.config]
neighbor-address = "${neighbour}"
peer-as = 65000
[neighbors.transport.config]
passive-mode = true
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
`;
}

/** One path as `gobgp global rib -j` prints it; the rest of it is not looked at. */
export type GobgpPath = {
  nlri: { type: number; value: Record<string, unknown> };
  attrs: { type: number; nexthop?: string; value?: unknown[] }[];
};

export class Gobgp {
  readonly host: LabHost;
  readonly #child: ChildProcess;
  readonly #release: Release;

  private constructor(host: LabHost, child: ChildProcess, release: Release) {
    this.host = host;
    this.#child = child;
    this.#release = release;
  }

  static async start(
    host: LabHost,
    config: string,
    flags: readonly string[] = [],
    release: Release = 'installed',
  ): Promise<Gobgp> {
    const file = join(host.runDirectory, 'gobgpd.toml');
    writeFileSync(file, config);
    const args = [
      '-f',
      file,
      '--api-hosts',
      '127.0.0.1:50051',
      '--pprof-disable',
      '-l',
      'error',
      ...flags,
    ];
    const [command, ...words] = programOf(release, programPath('gobgpd', release));
    const child = host.spawn(command, [...words, ...args], { stdio: 'ignore' });
    const gobgp = new Gobgp(host, child, release);
    await until('gobgpd answers', 5000, () => gobgp.run('neighbor').then(Boolean, () => false));
    return gobgp;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** `gobgp WORDS`, as text. */
  run(words: string): Promise<string> {
    const program = programOf(this.#release, programPath('gobgp', this.#release));
    const [command, ...before] = program;
    return ask(this.host, command, [...before, ...words.split(' ')]);
  }

  /** All paths of its EVPN table. */
  async paths(): Promise<GobgpPath[]> {
    const table = JSON.parse(await this.run('global rib -a evpn -j')) as Record<
      string,
      GobgpPath[]
    >;
    return Object.values(table).flat();
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child.kill(signal);
    await gone(this.#child);
  }
}

/** BIRD; only the newer ones know EVPN. */
export class Bird {
  readonly host: LabHost;
  readonly #child: ChildProcess;
  readonly #socket: string;

  private constructor(host: LabHost, child: ChildProcess, socket: string) {
    this.host = host;
    this.#child = child;
    this.#socket = socket;
  }

  static async start(host: LabHost, config: string): Promise<Bird> {
    const file = join(host.runDirectory, 'bird.conf');
    const socket = join(host.runDirectory, 'bird.ctl');
    writeFileSync(file, config);
    const [command, ...words] = programOf('newer', 'usr/sbin/bird');
    const args = ['-f', '-c', file, '-s', socket, '-P', join(host.runDirectory, 'bird.pid')];
    const child = host.spawn(command, [...words, ...args], { stdio: 'ignore' });
    const bird = new Bird(host, child, socket);
    await until('bird answers', 5000, () => bird.show('status').then(Boolean, () => false));
    return bird;
  }

  /** What `birdc show WORDS` prints. */
  show(words: string): Promise<string> {
    const [command, ...before] = programOf('newer', 'usr/sbin/birdcl');
    return ask(this.host, command, [...before, '-s', this.#socket, 'show', ...words.split(' ')]);
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child.kill(signal);
    await gone(this.#child);
  }
}
