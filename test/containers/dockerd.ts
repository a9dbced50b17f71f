/**
 * A real dockerd on a lab host. It lives in a mount and PID namespace of its own, with a fresh /run,
 * so that several run beside each other; ending it is a reboot to its containers.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabHost } from '../../src/demo/lab.ts';
import { until } from '../support/patience.ts';
import { missingOf } from '../support/tools.ts';

const BUSYBOX = '/bin/busybox';
export const IMAGE = 'bb';
const PAGE = 'index.html';

/** Why this machine runs no dockerd, or false. */
export function skipWithoutDocker(): string | false {
  const missing = missingOf(['dockerd', 'docker', 'runc', 'iptables', 'busybox', 'unshare']);
  if (missing.length > 0) return `no ${missing.join(', ')} (docker.io iptables busybox-static)`;
  return process.geteuid?.() !== 0 && 'dockerd needs root';
}

/** What a program said, and how it ended. */
export type Said = { code: number; out: string; err: string };

/** Runs a program on a host until it ends. */
export function runOn(
  host: Pick<LabHost, 'spawn'>,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Said> {
  return new Promise((resolve) => {
    const child = host.spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { code: -1, out: '', err: '' };
    child.stdout?.on('data', (chunk) => {
      said.out += String(chunk);
    });
    child.stderr?.on('data', (chunk) => {
      said.err += String(chunk);
    });
    child.on('error', (error) => resolve({ ...said, err: error.message }));
    child.on('close', (code) => resolve({ ...said, code: code ?? -1 }));
  });
}

/** A root file system with busybox and one page, as a tar in `directory`. */
export function makeImage(directory: string, page: string): string {
  const root = mkdtempSync(join(tmpdir(), 'fanway-image-'));
  mkdirSync(join(root, 'bin'));
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
  writeFileSync(join(root, PAGE), page);
  const tar = join(directory, 'image.tar');
  execFileSync('tar', ['-C', root, '-cf', tar, '.']);
  rmSync(root, { recursive: true });
  return tar;
}

const SCRIPT = `
mount --make-rprivate / && mount -t tmpfs tmpfs /run || exit 1
exec dockerd -H "unix://$1/docker.sock" --data-root "$1/data" >>"$1/log" 2>&1
`;

export class Dockerd {
  readonly host: LabHost;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  constructor(host: LabHost) {
    this.host = host;
    this.#directory = join(host.runDirectory, 'docker');
    mkdirSync(this.#directory, { recursive: true });
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...this.host.environment, DOCKER_HOST: `unix://${this.#directory}/docker.sock` };
  }

  /** Runs `docker ARGS`. */
  docker(...args: string[]): Promise<Said> {
    return runOn(this.host, 'docker', args, this.environment);
  }

  /** The same, and what it printed. @throws Error when it fails. */
  async does(...args: string[]): Promise<string> {
    const { code, out, err } = await this.docker(...args);
    if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${err || out}`);
    return out.trim();
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    const flags = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const child = this.host.spawn(
      'unshare',
      [...flags, 'sh', '-c', SCRIPT, 'sh', this.#directory],
      {
        stdio: 'ignore',
      },
    );
    this.#child = child;
    await until('dockerd answers', 20_000, async () => {
      if (child.exitCode !== null) throw new Error(`dockerd ended: ${this.#directory}/log`);
      return (await this.docker('version')).code === 0;
    });
  }

  async import(page: string): Promise<void> {
    await this.does('import', makeImage(this.#directory, page), IMAGE);
  }

  /** Ends it as a power cut does; the network namespace of the host stays. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    rmSync(join(this.#directory, 'docker.sock'), { force: true });
  }

  /** The address of a container on a network. */
  addressOf(container: string, network: string): Promise<string> {
    const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
    return this.does('inspect', '-f', format, container);
  }
}
