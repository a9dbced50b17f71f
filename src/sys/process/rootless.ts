/**
 * Running as an ordinary user: the same command again inside a user and a network namespace of its
 * own, where it is root and touches nothing of the machine.
 *
 * unshare(CLONE_NEWUSER) is refused to a process with several threads, which Node is from its
 * start; so util-linux's `unshare` makes the namespaces and then becomes Node.
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { ownCommand } from '../host/paths.ts';

/** Set in the environment of the re-executed command, so that it never re-executes itself. */
const MARK = 'FANWAY_ROOTLESS';
const TUN = '/dev/net/tun';
const UNSHARE = ['--user', '--map-root-user', '--net', '--mount'] as const;

/** True when this process may make namespaces itself: root here or in a user namespace. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** True inside the namespaces that {@link rerunInUserNamespace} made. */
export function isRootless(): boolean {
  return process.env[MARK] === '1';
}

function setting(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Reads a setting below /proc/sys; undefined where there is none of that name. */
type ReadSetting = (path: string) => string | undefined;

/** Settings that keep ordinary users from user namespaces: the value that does, what it does, what helps. */
const SETTINGS: readonly (readonly [path: string, value: string, what: string, help: string])[] = [
  ['user/max_user_namespaces', '0', 'user namespaces are switched off', 'raise it'],
  [
    'kernel/unprivileged_userns_clone',
    '0',
    'ordinary users may not make user namespaces',
    'set it to 1',
  ],
  [
    'kernel/apparmor_restrict_unprivileged_userns',
    '1',
    'AppArmor keeps ordinary users from using user namespaces',
    "load the profile packaging/apparmor/fanway of fanway's package, or set it to 0",
  ],
];

/** What bounds the buffers of sockets that an ordinary user opens (socket(7)). */
const BUFFER_LIMITS = ['net/core/rmem_max', 'net/core/wmem_max'] as const;

/**
 * The settings that keep an ordinary user's sockets from buffers of so many bytes, as the line that root
 * types; '' when none does.
 */
export function buffersForUsers(bytes: number, read: ReadSetting = setting): string {
  const short = BUFFER_LIMITS.filter((path) => Number(read(path) ?? bytes) < bytes);
  if (short.length === 0) return '';
  const words = short.map((path) => `${path.replaceAll('/', '.')}=${bytes}`);
  return `sysctl -w ${words.join(' ')}`;
}

function wordsOf([path, value, what]: (typeof SETTINGS)[number]): string {
  return `${what} (sysctl ${path.replaceAll('/', '.')} = ${value})`;
}

/**
 * Everything that keeps an ordinary user, whoever looks, from a network of their own here: each with
 * what mends it. Empty when nothing is known to be in the way.
 */
export function obstaclesForUsers(read: ReadSetting = setting, tun = TUN): string[] {
  const found = SETTINGS.filter(([path, value]) => read(path) === value).map(
    (one) => `${wordsOf(one)}: ${one[3]}`,
  );
  let mode: number | undefined;
  try {
    mode = statSync(tun).mode & 0o777;
  } catch {
    found.push(`${tun} is not there: modprobe tun`);
  }
  if (mode !== undefined && (mode & 0o006) !== 0o006) {
    found.push(`${tun} has mode 0${mode.toString(8)}: make it 0666, which is safe`);
  }
  for (const program of ['unshare', 'nsenter']) {
    if (spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined) {
      found.push(`the command ${program} (package util-linux) is not installed`);
    }
  }
  return found;
}

/**
 * Why an ordinary user cannot have a network of its own here, as one sentence that says what would
 * help; undefined when nothing is in the way.
 */
export function rootlessObstacle(read: ReadSetting = setting): string | undefined {
  const isSet = ([path, value]: (typeof SETTINGS)[number]): boolean => read(path) === value;
  // With AppArmor's a profile may allow it all the same: the trial tells.
  const shut = SETTINGS.slice(0, 2).find(isSet);
  if (shut !== undefined) return `${wordsOf(shut)}: run as root, or ${shut[3]}.`;
  const trial = spawnSync('unshare', [...UNSHARE, 'true'], { encoding: 'utf8', timeout: 10_000 });
  if (trial.error !== undefined) {
    return 'the command unshare (package util-linux) is not installed: run as root, or install it.';
  }
  if (trial.status !== 0) {
    const restricted = SETTINGS.slice(2).find(isSet);
    if (restricted !== undefined)
      return `${wordsOf(restricted)}: run as root, or ${restricted[3]}.`;
    return `user namespaces are refused (${trial.stderr.trim().split('\n')[0] ?? ''}): run as root.`;
  }
  return tunObstacle();
}

/** Why /dev/net/tun cannot be opened by this user; undefined when it can. */
export function tunObstacle(path: string = TUN): string | undefined {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOENT') return `${path} is not there: load the module tun (modprobe tun).`;
    const mode = (statSync(path).mode & 0o777).toString(8);
    return `${path} may not be opened by this user (mode 0${mode}): run as root, or make it 0666, which is safe.`;
  }
}

/**
 * Runs this very command again inside new user, network and mount namespaces, as root there, on
 * the same terminal, and resolves with its exit code (128 + signal if a signal ended it).
 * SIGINT and SIGTERM are passed on.
 * @throws Error with the sentence of {@link rootlessObstacle}.
 */
export async function rerunInUserNamespace(): Promise<number> {
  const obstacle = isRootless() ? 'already inside a user namespace.' : rootlessObstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  const child = spawn('unshare', [...UNSHARE, '--', ...ownCommand()], {
    stdio: 'inherit',
    env: { ...process.env, [MARK]: '1' },
  });
  const pass = (signal: NodeJS.Signals) => void child.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]));
      });
    });
  } finally {
    process.off('SIGINT', pass).off('SIGTERM', pass);
  }
}
