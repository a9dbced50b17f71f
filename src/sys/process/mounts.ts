/**
 * Mounts of this process's own mount namespace (mount(2)), and namespaces of a child's own that lose
 * everything once it has loaded what it needs (mount_namespaces(7), pivot_root(2)).
 *
 * As with network namespaces it is one *thread* that moves: JavaScript and fork run on the main one. From
 * its first move on that thread has a root and a working directory apart from the others', which nobody
 * here changes but for the moment of a move.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { messageOf } from '../../errors.ts';
import { addressOf, check, libc } from '../libc/libc.ts';

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x4_0000;
const MNT_DETACH = 2;
const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x2_0000;
const PIVOT_ROOT = process.arch === 'arm64' ? 41 : 155;
const THREAD_NAMESPACE = '/proc/thread-self/ns/mnt';
/** A folder that is there wherever Node runs; covered for a moment, in a namespace that nobody else sees. */
const STAGE = '/proc';

/** Puts one file in another's place for whoever shares this mount namespace. @throws SystemError */
export function bindMount(file: string, at: string): void {
  check('mount', libc.mount(file, at, 'none', MS_BIND, 0), at);
}

/** Where the main thread is, to come back to. */
class Place {
  readonly #open: number[] = [];
  readonly #namespace: number;
  readonly #root: number;
  readonly #folder: number;

  /** @throws Error with code EMFILE where no more files may be open; none stays so */
  constructor() {
    const folder = constants.O_RDONLY | constants.O_DIRECTORY;
    try {
      this.#namespace = this.#keep(openSync(THREAD_NAMESPACE, 'r'));
      this.#root = this.#keep(openSync('/', folder));
      this.#folder = this.#keep(openSync('.', folder));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #keep(fd: number): number {
    this.#open.push(fd);
    return fd;
  }

  /** setns makes the namespace's own root ours, which a chroot is not. */
  enter(): void {
    check('setns', libc.setns(this.#namespace, CLONE_NEWNS));
    check('fchdir', libc.fchdir(this.#root));
    check('chroot', libc.chroot('.'));
    check('fchdir', libc.fchdir(this.#folder));
  }

  close(): void {
    for (const fd of this.#open.splice(0)) closeSync(fd);
  }
}

/** Runs `fn` with the main thread somewhere else, and brings it back. */
function elsewhere<T>(leave: () => void, fn: () => T): T {
  const home = new Place();
  try {
    check('unshare(CLONE_FS)', libc.unshare(CLONE_FS));
    // Whether there is a way back is asked before we leave.
    home.enter();
    leave();
    try {
      return fn();
    } finally {
      home.enter();
    }
  } finally {
    home.close();
  }
}

/** The mount namespace of one child. */
export class ChildMounts {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Starts a child in a copy of our mounts that nobody else shares.
   * @throws SystemError EPERM without CAP_SYS_ADMIN and CAP_SYS_CHROOT, EINVAL in a chroot.
   */
  static start(spawn: () => ChildProcess): { child: ChildProcess; mounts: ChildMounts } {
    const leave = () => void check('unshare(CLONE_NEWNS)', libc.unshare(CLONE_NEWNS));
    return elsewhere(leave, () => {
      // What is undone here must not be undone anywhere else.
      check('mount', libc.mount('none', '/', 'none', MS_REC | MS_PRIVATE, 0));
      const mounts = new ChildMounts(openSync(THREAD_NAMESPACE, 'r'));
      try {
        return { child: spawn(), mounts };
      } catch (error) {
        mounts.close();
        throw error;
      }
    });
  }

  /**
   * Takes every file away from the child, also those that it would reach from its working directory if
   * that is `/`: its root is an empty folder from now on. What it has open or mapped stays.
   * @throws SystemError
   */
  empty(): void {
    const leave = () => void check('setns', libc.setns(this.#fd, CLONE_NEWNS));
    elsewhere(leave, () => {
      const flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
      check('mount', libc.mount('none', STAGE, 'tmpfs', flags, 0));
      check('chdir', libc.chdir(STAGE));
      const here = addressOf(Buffer.from('.\0'));
      check('pivot_root', libc.syscall(PIVOT_ROOT, here, here, 0, 0, 0));
      check('umount2', libc.umount2('.', MNT_DETACH));
    });
  }

  /** Lets go of it; it lasts as long as the child. Harmless twice. */
  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Starts a child in mounts of its own where that is possible; `reason` says why not. */
export function startInOwnMounts(spawn: () => ChildProcess): {
  child: ChildProcess;
  mounts: ChildMounts | undefined;
  reason: string;
} {
  let started = false;
  try {
    const own = ChildMounts.start(() => {
      started = true;
      return spawn();
    });
    return { ...own, reason: '' };
  } catch (error) {
    if (started) throw error;
    return { child: spawn(), mounts: undefined, reason: messageOf(error) };
  }
}
