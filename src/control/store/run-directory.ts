/**
 * The run directory (/run/fanway): journals, locks, the admin socket. Private to its owner, and
 * every file in it is written whole or not at all.
 * @module
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { codeOf, ExitCode, FanwayError, messageOf } from '../../errors.ts';
import { errnoName, errno as lastErrno, libc } from '../../sys/libc/libc.ts';

export const RUN_DIRECTORY_DEFAULT = '/run/fanway';
/** A unix socket address holds 108 bytes with its zero (unix(7)), `/control.sock` included. */
const RUN_PATH_BYTES_MAX = 90;

/** Far more than any file of ours holds. */
const FILE_BYTES_MAX = 4 << 20;

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Where `fanway run` keeps its network: a place of the user's own, also for a root that is none outside
 * of its user namespace.
 */
export function userRunDirectory(env: NodeJS.ProcessEnv): string {
  const uid = process.geteuid?.() ?? 0;
  const runtime = env['XDG_RUNTIME_DIR'] ?? '';
  if (env['FANWAY_RUN_DIR'] !== undefined) return env['FANWAY_RUN_DIR'];
  if (runtime.startsWith('/')) return join(runtime, 'fanway');
  return uid === 0 ? `${RUN_DIRECTORY_DEFAULT}-run` : `/tmp/fanway-${uid}`;
}

/** The one that a command means that is told nothing: an ordinary user's own, where there is one. */
function defaultRunDirectory(): string {
  const own = userRunDirectory(process.env);
  const isOwn = process.geteuid?.() !== 0 && existsSync(own);
  return isOwn ? own : RUN_DIRECTORY_DEFAULT;
}

/** Paths below one run directory. */
export class RunDirectory {
  readonly path: string;

  constructor(path: string = process.env['FANWAY_RUN_DIR'] ?? defaultRunDirectory()) {
    if (!path.startsWith('/') || Buffer.byteLength(path) > RUN_PATH_BYTES_MAX) {
      throw new FanwayError(
        'run-directory',
        `${path}: a run directory is an absolute path of at most ${RUN_PATH_BYTES_MAX} bytes`,
        { exitCode: ExitCode.Usage },
      );
    }
    this.path = path;
  }

  get socket(): string {
    return join(this.path, 'control.sock');
  }
  /** Where the keeper of a network namespace listens; see door/keeper.ts. */
  get door(): string {
    return join(this.path, 'door.sock');
  }
  /** Where what the keeper opens comes out. */
  get passage(): string {
    return join(this.path, 'passage.sock');
  }
  get journals(): string {
    return join(this.path, 'journal');
  }
  get log(): string {
    return join(this.path, 'router.log');
  }
  /** Which network namespace its router serves; see namespace.ts. */
  get namespace(): string {
    return join(this.path, 'namespace');
  }
  /** Where running data processes are noted. */
  get data(): string {
    return join(this.path, 'data');
  }
  /** How gossip runs here; see gossip/record.ts. */
  get gossip(): string {
    return join(this.path, 'gossip.json');
  }
  /** Routes that programs gave to BGP; see bgp/given-routes.ts. */
  get bgp(): string {
    return join(this.path, 'bgp.json');
  }
  /** Stations of layer-2 networks; see networks/station-file.ts. */
  get networks(): string {
    return join(this.path, 'networks');
  }
  /** Settings of the host that were left to others; see left-settings.ts. */
  get left(): string {
    return join(this.path, 'left.json');
  }
  get dhcp(): string {
    return join(this.path, 'dhcp');
  }

  /**
   * Makes the directory and its parts, mode 0700.
   * @throws FanwayError when it is a link, or belongs to somebody else.
   */
  create(): void {
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
      const stat = statOwn(this.path);
      const uid = process.geteuid?.() ?? 0;
      if (!stat.isDirectory() || stat.uid !== uid) {
        throw new FanwayError(
          'run-directory',
          `${this.path} must be a directory of user ${uid}: remove it, or set FANWAY_RUN_DIR`,
        );
      }
      if ((stat.mode & 0o077) !== 0) chmodSync(this.path, 0o700);
      const journals = lstatSync(this.journals, { throwIfNoEntry: false });
      if (journals?.isDirectory() === false) putAside(this.journals);
      mkdirSync(this.journals, { recursive: true, mode: 0o700 });
    } catch (error) {
      if (error instanceof FanwayError) throw error;
      const denied = codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM';
      throw new FanwayError(
        'run-directory',
        `cannot make ${this.path} (${messageOf(error)}): run as root, or set FANWAY_RUN_DIR`,
        { exitCode: denied ? ExitCode.NotPermitted : ExitCode.Failed },
      );
    }
  }

  /**
   * A lock by name, held until the descriptor is closed, by whichever process has it.
   * @returns undefined when `wait` is false and somebody else holds it.
   */
  lock(
    name: 'lock' | 'router.lock',
    options: { wait: boolean; shared?: boolean },
  ): Lock | undefined {
    return lockFile(join(this.path, name), options);
  }
}

/**
 * What a directory of ours is; a link counts as what it leads to only if root or we made it. systemd makes
 * such links where a unit with a user of its own keeps its directories (`/run/fanway` leads to
 * `/run/private/fanway`).
 */
export function statOwn(path: string): Stats {
  const own = lstatSync(path);
  const isOurs = own.uid === 0 || own.uid === process.geteuid?.();
  return own.isSymbolicLink() && isOurs ? statSync(path) : own;
}

/**
 * A lock on a file, which is made when it is missing; held until the descriptor is closed.
 * @returns undefined when `wait` is false and somebody else holds it.
 */
export function lockFile(
  path: string,
  options: { wait: boolean; shared?: boolean },
): Lock | undefined {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const fd = openSync(path, flags, 0o600);
  const operation = (options.shared === true ? LOCK_SH : LOCK_EX) | (options.wait ? 0 : LOCK_NB);
  if (libc.flock(fd, operation) === -1) {
    const code = errnoName(lastErrno());
    closeSync(fd);
    if (code === 'EAGAIN') return undefined;
    throw new FanwayError('lock', `cannot lock ${path}: ${code}`);
  }
  return new Lock(fd);
}

/** A held flock. A child that inherits `fd` holds it too. */
export class Lock {
  readonly fd: number;
  #open = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  release(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
  }
}

/**
 * Replaces a file in one step: a reader, or a machine that lost power, sees the old content or
 * the new one. Mode 0600.
 */
export function writeAtomically(path: string, content: string): void {
  replaceFile(path, content);
  syncDirectory(dirname(path));
}

/** The same, but which of both a machine that lost power sees is open until {@link syncDirectory}. */
export function replaceFile(path: string, content: string): void {
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true, recursive: true });
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    fchmodSync(fd, 0o600);
    const bytes = Buffer.from(content);
    let written = 0;
    while (written < bytes.length) written += writeSync(fd, bytes, written);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  try {
    renameSync(temporary, path);
  } catch (error) {
    // A folder is not replaced by a file. Nobody but us has business here, and it is kept.
    if (codeOf(error) !== 'EISDIR') throw error;
    putAside(path);
    renameSync(temporary, path);
  }
}

/** Renames whatever is there to `to`, `PATH.damaged` unless given; what was put there before goes. */
export function putAside(path: string, to = `${path}.damaged`): void {
  rmSync(to, { force: true, recursive: true });
  renameSync(path, to);
}

/** Makes a rename or removal in a directory durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } catch (error) {
    // Some file systems have nothing to do here and say EINVAL.
    if (codeOf(error) !== 'EINVAL') throw error;
  } finally {
    closeSync(fd);
  }
}

/**
 * The text of a file of ours, undefined when it is not there.
 * @throws FanwayError `not-a-file` for what we never wrote: a folder, a FIFO (reading one would wait
 *   for ever), a link, more than {@link FILE_BYTES_MAX} bytes.
 */
export function readIfThere(path: string): string | undefined {
  const wrong = (what: string): FanwayError =>
    new FanwayError('not-a-file', `${path} is ${what}, which fanway never wrote`);
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'ELOOP') throw wrong('a link');
    if (codeOf(error) === 'ENXIO') throw wrong('a socket');
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw wrong(stat.isDirectory() ? 'a folder' : 'no plain file');
    if (stat.size > FILE_BYTES_MAX) throw wrong(`a file of ${stat.size} bytes`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}
