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

/**
 * Why an ordinary user cannot have a network of its own here, as one sentence that says what would
 * help; undefined when nothing is in the way. `read` gives a setting below /proc/sys.
 */
export function rootlessObstacle(
  read: (path: string) => string | undefined = setting,
): string | undefined {
  if (read('user/max_user_namespaces') === '0') {
    return 'user namespaces are switched off (sysctl user.max_user_namespaces = 0): run as root, or raise it.';
  }
  if (read('kernel/unprivileged_userns_clone') === '0') {
    return 'ordinary users may not make user namespaces (sysctl kernel.unprivileged_userns_clone = 0): run as root, or set it to 1.';
  }
  const trial = spawnSync('unshare', [...UNSHARE, 'true'], { encoding: 'utf8', timeout: 10_000 });
  if (trial.error !== undefined) {
    return 'the command unshare (package util-linux) is not installed: run as root, or install it.';
  }
  if (trial.status !== 0) {
    if (read('kernel/apparmor_restrict_unprivileged_userns') === '1') {
      return 'AppArmor keeps ordinary users from using user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns = 1): run as root, or set it to 0.';
    }
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
