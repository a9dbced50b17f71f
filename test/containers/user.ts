/**
 * An ordinary user on a lab host: neither root nor any capability, a home of its own, and a
 * /dev/net/tun that is open to all, as distributions have it.
 */
import { type ChildProcess, execFileSync, type SpawnOptions } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabHost } from '../../src/demo/lab.ts';
import type { Outcome } from '../control/lab-router.ts';
import { readable, readableProgram } from '../support/readable.ts';

/** The user nobody, whom every system has. */
const UID = 65_534;
const ENTER = 'mount --bind "$1" /dev/net/tun && shift && exec setpriv "$@"';

export class OrdinaryUser {
  readonly host: LabHost;
  readonly uid = UID;
  /** Home, and where the runtime directory is. */
  readonly home: string;
  readonly #tun: string;

  /** @param tunMode what /dev/net/tun is open to */
  constructor(host: LabHost, tunMode = 0o666) {
    this.host = host;
    this.home = mkdtempSync(join(tmpdir(), 'fanway-user-'));
    this.#tun = join(host.runDirectory, 'tun');
    execFileSync('mknod', [this.#tun, 'c', '10', '200']);
    chmodSync(this.#tun, tunMode);
    chownSync(this.home, UID, UID);
  }

  get environment(): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], HOME: this.home, XDG_RUNTIME_DIR: this.home };
  }
  get runDirectory(): string {
    return join(this.home, 'fanway');
  }

  /** Starts a program as this user on its host. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const user = [`--reuid=${UID}`, `--regid=${UID}`, '--clear-groups', '--inh-caps=-all', '--'];
    const script = ['sh', '-c', ENTER, 'sh', this.#tun, ...user, command, ...args.map(readable)];
    return this.host.spawn('unshare', ['--mount', '--', ...script], {
      ...options,
      env: { ...this.environment, ...options.env },
    });
  }

  /** Starts `fanway WORDS`. */
  fanway(words: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.spawn(process.execPath, [readableProgram(), ...words], options);
  }

  /** Runs it to its end. */
  does(...words: string[]): Promise<Outcome> {
    return collect(this.fanway(words, { stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  close(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** What a program said, and how it ended. */
export function collect(child: ChildProcess): Promise<Outcome> {
  const said: Outcome = { code: -1, out: '', err: '' };
  child.stdout?.on('data', (chunk: Buffer) => {
    said.out += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    said.err += chunk.toString();
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ ...said, err: error.message }));
    child.once('close', (code) => resolve({ ...said, code: code ?? -1 }));
  });
}
