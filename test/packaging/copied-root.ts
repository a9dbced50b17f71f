/**
 * This machine's own file system as a copy that keeps what is written to it apart (overlayfs), with a
 * `/run` of its own: to install a package in, and to see what is left of it.
 * @module
 */
import { type ChildProcess, execFileSync, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import type { LabHost } from '../../src/demo/lab.ts';

// The upper folder must not lie on an overlay itself, as /tmp may: a tmpfs carries it.
const MOUNT = `set -e
mount -t tmpfs -o mode=755 none "$0"
mkdir "$0/upper" "$0/work" "$0/root" "$0/bare"
mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" none "$0/root"
mount --bind "$0/root" "$0/bare"
for name in proc sys dev; do mount --rbind /$name "$0/root/$name"; done
mount -t tmpfs -o mode=755 none "$0/root/run"
echo ready
read -r end`;

/** How programs in it are started: heard, with a plain environment. */
export const SPAWN: SpawnOptions = {
  stdio: ['ignore', 'pipe', 'pipe'],
  env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
};

/** What a program in the root said and how it ended. */
export type Ended = { code: number | null; output: string };

export class CopiedRoot {
  readonly #host: LabHost;
  readonly #folder: string;
  readonly #holder: ChildProcess;

  private constructor(host: LabHost, folder: string, holder: ChildProcess) {
    this.#host = host;
    this.#folder = folder;
    this.#holder = holder;
  }

  /** @throws Error when this machine lets nobody mount an overlay. */
  static async create(host: LabHost): Promise<CopiedRoot> {
    const folder = mkdtempSync(join(tmpdir(), 'fanway-root-'));
    const holder = host.spawn('unshare', ['--mount', 'sh', '-c', MOUNT, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const root = new CopiedRoot(host, folder, holder);
    if (holder.stdout === null) throw new TypeError('the holder is piped');
    const lines = createInterface({ input: holder.stdout });
    const said = await Promise.race([once(lines, 'line'), once(holder, 'exit')]);
    if (said[0] !== 'ready') {
      root.close();
      throw new Error(`no copy of the file system: exit ${String(said[0])}`);
    }
    return root;
  }

  /** A path of the root as processes outside of it reach it. */
  path(inside: string): string {
    return join(`/proc/${this.#holder.pid}/root`, this.#folder, 'root', inside);
  }

  /**
   * The same files without the kernel's file systems, as processes beside it name them: for a
   * container that brings its own.
   */
  get bare(): string {
    return join(this.#folder, 'bare');
  }

  /** Starts a program beside the root, in the network of the lab's host. */
  spawn(command: string, words: readonly string[]): ChildProcess {
    const mounts = `--mount=/proc/${this.#holder.pid}/ns/mnt`;
    return this.#host.spawn('nsenter', [mounts, command, ...words], SPAWN);
  }

  /** Runs a program in the root, in the network of the lab's host. */
  run(command: string, ...words: string[]): Promise<Ended> {
    return ended(this.spawn('chroot', [join(this.#folder, 'root'), command, ...words]));
  }

  /** What was written, files and folders, relative to the root; deletions are in it too. */
  written(): string[] {
    const upper = join(`/proc/${this.#holder.pid}/root`, this.#folder, 'upper');
    return readdirSync(upper, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(upper, join(entry.parentPath ?? entry.path, entry.name)))
      .sort();
  }

  /** Ends nothing that still runs in it. */
  close(): void {
    this.#holder.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Waits for the end of a program that was started with {@link SPAWN}. */
export async function ended(child: ChildProcess): Promise<Ended> {
  let output = '';
  for (const pipe of [child.stdout, child.stderr]) {
    pipe?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const [code] = await once(child, 'exit');
  return { code: code as number | null, output };
}

/** Builds packages with packaging/debian.mjs and returns their paths. */
export function buildPackage(root: string, out: string, ...words: string[]): string[] {
  mkdirSync(out, { recursive: true });
  const said = execFileSync(
    process.execPath,
    [join(root, 'packaging/debian.mjs'), '--out', out, ...words],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return said.trim().split('\n');
}
