/**
 * Network namespaces without `ip netns`: made by unshare(2), kept by an open descriptor, entered
 * by setns(2). Nothing is mounted, so a namespace vanishes with its last descriptor and process.
 *
 * setns moves one *thread*. JavaScript, the synchronous `fs` calls and fork all run on the main
 * thread, so a synchronous function is the unit of work here: asynchronous `fs`, DNS look-ups and
 * `dgram.bind` run elsewhere or later and would leave the namespace (test/assumptions shows it).
 * @module
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { check, libc } from '../libc/libc.ts';

const CLONE_NEWNET = 0x4000_0000;
const THREAD_NAMESPACE = '/proc/thread-self/ns/net';

/** The namespace the main thread is in right now; undefined = the one the process started in. */
let current: NetworkNamespace | undefined;
let home: NetworkNamespace | undefined;

/** A network namespace, held open by one descriptor until {@link NetworkNamespace.close}. */
export class NetworkNamespace {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Makes a new, empty namespace (its loopback is down) and stays in the present one.
   * @throws SystemError EPERM without CAP_SYS_ADMIN; ENOSPC when user.max_net_namespaces is reached.
   */
  static create(): NetworkNamespace {
    const back = current ?? NetworkNamespace.home();
    check('unshare(CLONE_NEWNET)', libc.unshare(CLONE_NEWNET));
    try {
      return new NetworkNamespace(openSync(THREAD_NAMESPACE, 'r'));
    } finally {
      moveTo(back);
    }
  }

  /** The namespace this process started in (the same object every time; closing it does nothing). */
  static home(): NetworkNamespace {
    if (!isMainThread) throw new Error('network namespaces are handled on the main thread only');
    home ??= new NetworkNamespace(openSync(THREAD_NAMESPACE, 'r'));
    return home;
  }

  /** The namespace the main thread is in: that of the innermost {@link run}, else {@link home}. */
  static current(): NetworkNamespace {
    return current ?? NetworkNamespace.home();
  }

  /**
   * The namespace of another process.
   * @throws Error with code ENOENT when the process is gone, EACCES when it is not ours to look at.
   */
  static ofProcess(pid: number): NetworkNamespace {
    NetworkNamespace.home();
    return new NetworkNamespace(openSync(`/proc/${pid}/ns/net`, 'r'));
  }

  /**
   * The namespace that a path names (`/run/netns/x`, `/proc/1/ns/net`).
   * @throws Error with code ENOENT when nothing is there, SystemError EINVAL when it is entered and is
   *   no network namespace.
   */
  static ofPath(path: string): NetworkNamespace {
    NetworkNamespace.home();
    return new NetworkNamespace(openSync(path, 'r'));
  }

  /** The descriptor (close-on-exec), for IFLA_NET_NS_FD; stays owned by this object. */
  get fd(): number {
    if (this.#fd < 0) throw new Error('network namespace was closed');
    return this.#fd;
  }

  /** The kernel's identity of the namespace (inode in nsfs), equal for two handles on one. */
  get inode(): number {
    return fstatSync(this.fd).ino;
  }

  /**
   * Runs a synchronous function inside the namespace; calls may nest. Sockets and netlink sockets
   * opened by it stay in the namespace for good.
   * @throws Error when `fn` returns a promise (the rest of it would run outside), and what fn throws.
   */
  run<T>(fn: () => T): T {
    const back = current ?? NetworkNamespace.home();
    enter(this);
    let result: T;
    try {
      result = fn();
    } finally {
      enter(back);
    }
    if (result instanceof Promise) {
      result.catch(() => undefined);
      throw new Error('NetworkNamespace.run() takes a synchronous function');
    }
    return result;
  }

  /** Starts a program inside the namespace: a child inherits the namespace of the forking thread. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.run(() => spawn(command, args, options));
  }

  /** Lets go of the namespace; it lives on while a process, socket or moved device keeps it. */
  close(): void {
    if (this === home || this.#fd < 0) return;
    if (this === current) throw new Error('a network namespace cannot be closed from inside run()');
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

function enter(namespace: NetworkNamespace): void {
  // setns asks for CAP_SYS_ADMIN even to stay: a service with CAP_NET_ADMIN alone never leaves home.
  if (namespace === (current ?? home)) return;
  moveTo(namespace);
}

function moveTo(namespace: NetworkNamespace): void {
  check('setns', libc.setns(namespace.fd, CLONE_NEWNET));
  current = namespace;
}
