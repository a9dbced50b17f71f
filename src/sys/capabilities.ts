/**
 * Capabilities: what we hold, and starting a child that holds none.
 *
 * Capabilities, securebits and ambient set belong to a thread. A Node process has a dozen threads,
 * so a process that drops its own leaves them in eleven others. Hence the child is *born* without:
 * the forking thread sets SECBIT_NOROOT and clears its ambient set, fork copies both, exec applies
 * them (capabilities(7): with NOROOT, uid 0 is nobody special), and the forking thread restores
 * its own. Its own effective set is untouched all the while.
 * @module
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { addressOf, check, errno, errnoName, libc } from './libc.ts';

const PR_SET_DUMPABLE = 4;
const PR_GET_SECUREBITS = 27;
const PR_SET_SECUREBITS = 28;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_IS_SET = 1;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SECBIT_NOROOT = 1;
const CAPABILITY_VERSION_3 = 0x20080522;
const CAPABILITIES_MAX = 64;

/** Numbers of linux/capability.h that fanway asks about. */
export const Capability = {
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_ADMIN: 21,
} as const;
export type CapabilityName = keyof typeof Capability;

/** The five sets of a task as bit masks (capabilities(7)). */
export type CapabilitySets = {
  inheritable: bigint;
  permitted: bigint;
  effective: bigint;
  bounding: bigint;
  ambient: bigint;
  noNewPrivileges: boolean;
};

/**
 * The sets of a process' main thread, or of one of its threads.
 * @throws Error with code ENOENT when it is gone.
 */
export function readCapabilities(pid: number | 'self' = 'self', thread?: number): CapabilitySets {
  const path = thread === undefined ? `/proc/${pid}/status` : `/proc/${pid}/task/${thread}/status`;
  const status = readFileSync(path, 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(status)?.[1] ?? '0';
  const set = (name: string) => BigInt(`0x${field(name)}`);
  return {
    inheritable: set('CapInh'),
    permitted: set('CapPrm'),
    effective: set('CapEff'),
    bounding: set('CapBnd'),
    ambient: set('CapAmb'),
    noNewPrivileges: field('NoNewPrivs') === '1',
  };
}

/** Whether this process may use a capability now. */
export function hasCapability(name: CapabilityName): boolean {
  return ((readCapabilities().effective >> BigInt(Capability[name])) & 1n) === 1n;
}

/**
 * For the first line of a process that should hold nothing: no capability in the calling thread,
 * no gain by exec, no attaching debugger of the same user. Belt and braces to
 * {@link spawnUnprivileged}, which is what covers the other threads.
 */
export function sealProcess(): void {
  check('prctl(NO_NEW_PRIVS)', libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const header = new Uint32Array([CAPABILITY_VERSION_3, 0]);
  check('capset', libc.capset(addressOf(header), addressOf(new Uint32Array(6))));
  check('prctl(DUMPABLE)', libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

const NOBODY = 65_534;

/** The user for a child, or why it keeps ours. */
export type UnprivilegedUser = { uid: number; gid: number } | { reason: string };

/**
 * Chooses `nobody` where that works: we are root, the id exists in this user namespace, and
 * others may read every path that the child needs (absolute paths of files or folders).
 */
export function chooseUser(paths: readonly string[]): UnprivilegedUser {
  if (process.geteuid?.() !== 0) return { reason: 'not root: the child runs as this user' };
  for (const map of ['uid_map', 'gid_map']) {
    if (!mapsId(readFileSync(`/proc/self/${map}`, 'utf8'), NOBODY)) {
      return { reason: 'the user nobody does not exist in this user namespace' };
    }
  }
  if (readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'allow') {
    return { reason: 'this user namespace does not allow setgroups' };
  }
  if (!hasCapability('SETUID') || !hasCapability('SETGID')) {
    return { reason: 'CAP_SETUID or CAP_SETGID is missing' };
  }
  for (const path of paths) {
    const obstacle = unreadableToOthers(path);
    if (obstacle !== undefined) return { reason: `the user nobody may not read ${obstacle}` };
  }
  return { uid: NOBODY, gid: NOBODY };
}

/** Whether an id lies in a uid_map or gid_map (lines of: first inside, first outside, count). */
export function mapsId(map: string, id: number): boolean {
  return map.split('\n').some((line) => {
    const [first, , count] = line.trim().split(/\s+/).map(Number);
    return first !== undefined && count !== undefined && id >= first && id < first + count;
  });
}

/** The path, or the folder above it, that other users may not read or enter; undefined if none. */
function unreadableToOthers(path: string): string | undefined {
  let needed = 0o4;
  const real = realpathSync(path);
  for (let at = real; ; at = dirname(at)) {
    const { mode } = statSync(at);
    const mask = at === real && (mode & 0o170000) === 0o040000 ? 0o5 : needed;
    if ((mode & mask) !== mask) return at;
    needed = 0o1;
    if (at === dirname(at)) return undefined;
  }
}

/**
 * Starts a program that holds no capability in any thread, though we may hold all of them; as root
 * also under the user nobody unless `uid`/`gid` say otherwise or {@link chooseUser} objects
 * (absolute paths among command and arguments are what it must be able to read).
 * @throws SystemError EPERM as root without CAP_SETPCAP, when the child could not be stripped.
 */
export function spawnUnprivileged(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { uid?: number; gid?: number } = {},
): ChildProcess {
  const paths = [command, ...args].filter((path) => isAbsolute(path) && existsSync(path));
  const user = options.uid === undefined ? chooseUser(paths) : { uid: options.uid };
  const identity = 'reason' in user ? {} : user;
  return withoutPrivilegesForChildren(() => spawn(command, args, { ...options, ...identity }));
}

/** Runs a synchronous function on this thread whose children get no capability from exec. */
export function withoutPrivilegesForChildren<T>(fn: () => T): T {
  const securebits = check('prctl', libc.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
  const isRoot = process.getuid?.() === 0 || process.geteuid?.() === 0;
  const setBits = isRoot && (securebits & SECBIT_NOROOT) === 0;
  const ambient: number[] = [];
  for (let capability = 0; capability < CAPABILITIES_MAX; capability++) {
    // −1: this kernel has no capability of that number, or no ambient set at all.
    const isSet = libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0);
    if (isSet === -1) break;
    if (isSet === 1) ambient.push(capability);
  }
  if (setBits) {
    check(
      'prctl(SECBIT_NOROOT)',
      libc.prctl(PR_SET_SECUREBITS, securebits | SECBIT_NOROOT, 0, 0, 0),
      'a child of root could not be kept without capabilities; CAP_SETPCAP is needed',
    );
  }
  try {
    if (ambient.length > 0) {
      check('prctl', libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    }
    return fn();
  } finally {
    if (setBits) check('prctl', libc.prctl(PR_SET_SECUREBITS, securebits, 0, 0, 0));
    for (const capability of ambient) {
      if (libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) === -1) {
        // Without it our own restart by exec would be weaker, nothing else.
        process.emitWarning(
          `ambient capability ${capability} was not restored: ${errnoName(errno())}`,
        );
      }
    }
  }
}
