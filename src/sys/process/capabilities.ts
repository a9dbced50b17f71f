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
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { addressOf, check, errno, errnoName, libc } from '../libc/libc.ts';

const PR_SET_DUMPABLE = 4;
const PR_SET_TIMERSLACK = 29;
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
  SYS_NICE: 23,
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

/** Said of a data process of root's that could have a user of its own, see {@link chooseUser}. */
const ROOT_BY_NUMBER =
  'its user is root, without capabilities (node or fanway lie where other users may not read)';

/**
 * What keeps another process of ours from being confined as it should be, as the kernel tells it of
 * every thread: capabilities that are left, a bounding set, new privileges, no filter of system calls, root's number.
 * Empty when nothing is missing, and for a process that is gone. Where /proc hides it from us (hidepid),
 * that is what is missing.
 */
export function confinementGaps(pid: number): string[] {
  const gaps = new Set<string>();
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const sets = readCapabilities(pid, Number(thread));
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
      if ((sets.effective | sets.permitted | sets.ambient) !== 0n) gaps.add('holds capabilities');
      // It bounds what a program may gain; an ordinary user's that may gain nothing needs no bound.
      const isOrdinary = !/^Uid:.*\b0\b/m.test(status) && sets.noNewPrivileges;
      if (sets.bounding !== 0n && !isOrdinary) gaps.add('bounding set not empty');
      if (!sets.noNewPrivileges) gaps.add('may gain privileges');
      if (!/^Seccomp:\s*2$/m.test(status)) gaps.add('no filter of system calls');
      if (/^Uid:\s*0\b/m.test(status) && hasManyUsers()) gaps.add(ROOT_BY_NUMBER);
    }
  } catch {
    return isAlive(pid) ? ['hidden by /proc (hidepid), so not checked'] : [];
  }
  return [...gaps];
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
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

/** Lets the calling thread sleep for as long as it says and not 50 µs longer (PR_SET_TIMERSLACK). */
export function sharpenTimers(): void {
  libc.prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
}

const NOBODY = 65_534;
/**
 * Users that no system hands out (systemd's list of ranges ends below, domain controllers' too), one for
 * each process of ours that starts children: whoever runs as nobody has no say over these.
 */
const OWN_USERS = 2_100_000_000;
const TRIAL_MS_MAX = 5000;

/** The user for a child, or why it keeps ours. */
export type UnprivilegedUser = { uid: number; gid: number } | { reason: string };

/**
 * Chooses a user of our children's own, or `nobody` where only few ids exist: we are root, the id exists
 * in this user namespace, and
 * others may read every path that the child needs (absolute paths of files or folders).
 */
export function chooseUser(paths: readonly string[]): UnprivilegedUser {
  if (process.geteuid?.() !== 0) return { reason: 'not root: the child runs as this user' };
  const maps = ['uid_map', 'gid_map'].map((map) => readFileSync(`/proc/self/${map}`, 'utf8'));
  const id = [OWN_USERS + process.pid, NOBODY].find((one) => maps.every((map) => mapsId(map, one)));
  if (id === undefined) {
    return { reason: 'the user nobody does not exist in this user namespace' };
  }
  if (readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'allow') {
    return { reason: 'this user namespace does not allow setgroups' };
  }
  if (!hasCapability('SETUID') || !hasCapability('SETGID')) {
    return { reason: 'CAP_SETUID or CAP_SETGID is missing' };
  }
  for (const path of paths) {
    const obstacle = unreadableToOthers(path);
    if (obstacle !== undefined)
      return { reason: `another user, like nobody, may not read ${obstacle}` };
  }
  return { uid: id, gid: id };
}

/** Whether this user namespace has ids for users of our children's own. */
function hasManyUsers(): boolean {
  return mapsId(readFileSync('/proc/self/uid_map', 'utf8'), OWN_USERS);
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
 * also under a user of its own unless `uid`/`gid` say otherwise or {@link chooseUser} objects
 * (absolute paths among command and arguments are what it must be able to read).
 *
 * Where `setpriv` (util-linux) is there, the program also begins with an empty bounding set and with
 * no new privileges in every thread, which it could not bring about itself once it has threads.
 * @throws SystemError EPERM as root without CAP_SETPCAP, when the child could not be stripped.
 */
export function spawnUnprivileged(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { uid?: number; gid?: number } = {},
): ChildProcess {
  const paths = [command, ...args].filter((path) => isAbsolute(path) && existsSync(path));
  const user = options.uid === undefined ? chooseUser(paths) : { uid: options.uid };
  const identity = {
    ...(options.gid === undefined ? {} : { gid: options.gid }),
    ...('reason' in user ? {} : user),
  };
  const wrapper = strippingWords(identity);
  if (wrapper !== undefined) {
    const { uid: _uid, gid: _gid, ...rest } = options;
    return spawn(SETPRIV, [...wrapper, command, ...args], rest);
  }
  return withoutPrivilegesForChildren(() => spawn(command, args, { ...options, ...identity }));
}

const SETPRIV = '/usr/bin/setpriv';
/** Words for setpriv that work here, by what was asked; undefined: they do not. */
const wordsThatWork = new Map<string, string[] | undefined>();

/** What to say to setpriv so that it strips a program and becomes it; undefined where it cannot. */
function strippingWords({ uid, gid }: { uid?: number; gid?: number }): string[] | undefined {
  const key = `${uid} ${gid}`;
  if (wordsThatWork.has(key)) return wordsThatWork.get(key);
  const words = ['--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all'];
  if (hasCapability('SETPCAP')) words.push('--bounding-set=-all', '--securebits=+noroot');
  if (uid !== undefined) words.push(`--reuid=${uid}`);
  if (gid !== undefined) words.push(`--regid=${gid}`, '--clear-groups');
  words.push('--');
  // Tried once, on a program that does nothing: a set that this user namespace does not allow, an
  // older setpriv. The answer holds for as long as we run.
  const trial = existsSync(SETPRIV)
    ? spawnSync(SETPRIV, [...words, '/bin/true'], { stdio: 'ignore', timeout: TRIAL_MS_MAX })
    : undefined;
  const works = trial?.status === 0 ? words : undefined;
  wordsThatWork.set(key, works);
  return works;
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
