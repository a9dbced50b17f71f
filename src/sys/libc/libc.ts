/**
 * The C library, called directly through koffi. Every system call that fanway makes outside
 * Node's own API is declared here and nowhere else, so that another binding can replace this file.
 *
 * Pointers travel as plain numbers (`uintptr_t`): user-space addresses stay below 2^47, which a
 * double holds exactly. The hot loop therefore passes `arenaBase + offset` without allocating.
 * @module
 */
import { constants as osConstants } from 'node:os';
import koffi from 'koffi';

const c = koffi.load(null);

/** Declares one libc function; arguments and results are numbers unless the prototype says `str`. */
function declare<A extends unknown[], R>(prototype: string): (...args: A) => R {
  return c.func(prototype) as unknown as (...args: A) => R;
}

/** The same for what only some C libraries have; undefined where this one does not. */
function declareIfThere<A extends unknown[], R>(
  prototype: string,
): ((...args: A) => R) | undefined {
  try {
    return declare<A, R>(prototype);
  } catch {
    return undefined;
  }
}

/** The same in a thread of libuv's pool; `done` has the result, or the error where there was no thread. */
function declareLater<A extends unknown[], R>(
  prototype: string,
): (...args: [...A, (error: Error | null, result: R) => void]) => void {
  return c.func(prototype).async as unknown as ReturnType<typeof declareLater<A, R>>;
}

type Fd = number;
type Pointer = number;

/** libc functions by name. All return −1 on failure and set {@link errno}. */
export const libc = {
  open: declare<[string, number, number], Fd>('int open(str path, int flags, uint mode)'),
  close: declare<[Fd], number>('int close(int fd)'),
  read: declare<[Fd, Pointer, number], number>('long read(int fd, uintptr_t buf, size_t n)'),
  write: declare<[Fd, Pointer, number], number>('long write(int fd, uintptr_t buf, size_t n)'),
  readv: declare<[Fd, Pointer, number], number>('long readv(int fd, uintptr_t iov, int n)'),
  writev: declare<[Fd, Pointer, number], number>('long writev(int fd, uintptr_t iov, int n)'),
  poll: declare<[Pointer, number, number], number>(
    'int poll(uintptr_t fds, unsigned long n, int timeoutMs)',
  ),
  ppoll: declare<[Pointer, number, Pointer, Pointer], number>(
    'int ppoll(uintptr_t fds, unsigned long n, uintptr_t timeout, uintptr_t mask)',
  ),
  epoll_create1: declare<[number], Fd>('int epoll_create1(int flags)'),
  epoll_ctl: declare<[Fd, number, Fd, Pointer], number>(
    'int epoll_ctl(int epfd, int op, int fd, uintptr_t event)',
  ),
  epoll_wait: declare<[Fd, Pointer, number, number], number>(
    'int epoll_wait(int epfd, uintptr_t events, int max, int timeoutMs)',
  ),
  setpriority: declare<[number, number, number], number>(
    'int setpriority(int which, uint who, int nice)',
  ),
  sched_setscheduler: declare<[number, number, Pointer], number>(
    'int sched_setscheduler(int pid, int policy, uintptr_t param)',
  ),
  sched_getscheduler: declare<[number], number>('int sched_getscheduler(int pid)'),
  prlimit: declare<[number, number, Pointer, Pointer], number>(
    'int prlimit(int pid, int resource, uintptr_t newLimit, uintptr_t oldLimit)',
  ),
  sched_yield: declare<[], number>('int sched_yield()'),
  ioctl: declare<[Fd, number, Pointer], number>('int ioctl(int fd, ulong request, uintptr_t arg)'),
  fcntl: declare<[Fd, number, number], number>('int fcntl(int fd, int command, long arg)'),
  socket: declare<[number, number, number], Fd>('int socket(int domain, int type, int protocol)'),
  socketpair: declare<[number, number, number, Pointer], number>(
    'int socketpair(int domain, int type, int protocol, uintptr_t pair)',
  ),
  bind: declare<[Fd, Pointer, number], number>('int bind(int fd, uintptr_t addr, uint len)'),
  connect: declare<[Fd, Pointer, number], number>('int connect(int fd, uintptr_t addr, uint len)'),
  listen: declare<[Fd, number], number>('int listen(int fd, int backlog)'),
  accept4: declare<[Fd, Pointer, Pointer, number], Fd>(
    'int accept4(int fd, uintptr_t addr, uintptr_t len, int flags)',
  ),
  shutdown: declare<[Fd, number], number>('int shutdown(int fd, int how)'),
  getsockname: declare<[Fd, Pointer, Pointer], number>(
    'int getsockname(int fd, uintptr_t addr, uintptr_t len)',
  ),
  setsockopt: declare<[Fd, number, number, Pointer, number], number>(
    'int setsockopt(int fd, int level, int name, uintptr_t value, uint len)',
  ),
  getsockopt: declare<[Fd, number, number, Pointer, Pointer], number>(
    'int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t len)',
  ),
  sendto: declare<[Fd, Pointer, number, number, Pointer, number], number>(
    'long sendto(int fd, uintptr_t buf, size_t n, int flags, uintptr_t addr, uint addrLen)',
  ),
  sendmsg: declare<[Fd, Pointer, number], number>('long sendmsg(int fd, uintptr_t msg, int flags)'),
  sendmmsg: declare<[Fd, Pointer, number, number], number>(
    'int sendmmsg(int fd, uintptr_t msgs, uint n, int flags)',
  ),
  recvmsg: declare<[Fd, Pointer, number], number>('long recvmsg(int fd, uintptr_t msg, int flags)'),
  recvmmsg: declare<[Fd, Pointer, number, number, Pointer], number>(
    'int recvmmsg(int fd, uintptr_t msgs, uint n, int flags, uintptr_t timeout)',
  ),
  mmap: declare<[Pointer, number, number, number, Fd, number], Pointer>(
    'long mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, long offset)',
  ),
  madvise: declare<[Pointer, number, number], number>(
    'int madvise(uintptr_t addr, size_t len, int advice)',
  ),
  munmap: declare<[Pointer, number], number>('int munmap(uintptr_t addr, size_t len)'),
  ftruncate: declare<[Fd, number], number>('int ftruncate(int fd, long length)'),
  lseek: declare<[Fd, number, number], number>('long lseek(int fd, long offset, int whence)'),
  memfd_create: declare<[string, number], Fd>('int memfd_create(str name, uint flags)'),
  eventfd: declare<[number, number], Fd>('int eventfd(uint initial, int flags)'),
  flock: declare<[Fd, number], number>('int flock(int fd, int operation)'),
  clock_gettime: declare<[number, Pointer], number>('int clock_gettime(int clock, uintptr_t time)'),
  nanosleep: declare<[Pointer, Pointer], number>(
    'int nanosleep(uintptr_t request, uintptr_t remaining)',
  ),
  prctl: declare<[number, number, number, number, number], number>(
    'int prctl(int option, ulong a, ulong b, ulong c, ulong d)',
  ),
  capget: declare<[Pointer, Pointer], number>('int capget(uintptr_t header, uintptr_t data)'),
  capset: declare<[Pointer, Pointer], number>('int capset(uintptr_t header, uintptr_t data)'),
  unshare: declare<[number], number>('int unshare(int flags)'),
  setns: declare<[Fd, number], number>('int setns(int fd, int type)'),
  mount: declare<[string, string, string, number, Pointer], number>(
    'int mount(str source, str target, str type, ulong flags, uintptr_t data)',
  ),
  chdir: declare<[string], number>('int chdir(str path)'),
  fchdir: declare<[Fd], number>('int fchdir(int fd)'),
  chroot: declare<[string], number>('int chroot(str path)'),
  umount2: declare<[string, number], number>('int umount2(str target, int flags)'),
  /** Ends the process at once: nothing is flushed, nobody is asked. */
  _exit: declare<[number], void>('void _exit(int code)'),
  getpagesize: declare<[], number>('int getpagesize()'),
  if_nametoindex: declare<[string], number>('uint if_nametoindex(str name)'),
  /** Raw system call: number first, then up to five arguments as numbers. */
  syscall: declare<[number, number, number, number, number, number], number>(
    'long syscall(long number, long a, long b, long c, long d, long e)',
  ),
} as const;

/** epoll_wait(2) without a stop of this thread. What is at `events` is the caller's to keep. */
export const waitForEvents = declareLater<[Fd, Pointer, number, number], number>(
  'int epoll_wait(int epfd, uintptr_t events, int max, int timeoutMs)',
);

/** The calling thread's `errno` after a libc call that returned −1. */
export function errno(): number {
  return koffi.errno();
}

const errnoNames = new Map<number, string>(
  Object.entries(osConstants.errno).map(([name, number]) => [number, name]),
);
// Linux numbers that Node's table leaves out, and the usual one of two names for a number.
for (const [number, name] of [
  [11, 'EAGAIN'],
  [95, 'EOPNOTSUPP'],
  [57, 'EBADSLT'],
  [77, 'EBADFD'],
  [108, 'ESHUTDOWN'],
] as const) {
  errnoNames.set(number, name);
}

/** The symbolic name of an errno value, `E<number>` when unknown. */
export function errnoName(value: number): string {
  return errnoNames.get(value) ?? `E${value}`;
}

/** malloc_trim(3) of glibc: free pages in the middle of its heap go back to the system too. */
export const mallocTrim = declareIfThere<[pad: number], number>('int malloc_trim(size_t pad)');

/** What to do about errors whose names say little. */
const HINTS: Readonly<Record<string, string>> = {
  EMFILE: 'no more open files allowed to this process: raise its limit (ulimit -n, LimitNOFILE=)',
  ENFILE: 'no more open files allowed on this machine: raise fs.file-max',
};

/** A failed system call: `code` is the errno name (`ENOBUFS`), `syscall` what was tried. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errnoValue: number, detail = '') {
    const code = errnoName(errnoValue);
    const more = [detail, HINTS[code] ?? ''].filter((text) => text !== '').join('; ');
    super(`${syscall}: ${code}${more === '' ? '' : ` (${more})`}`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errnoValue;
    this.syscall = syscall;
  }
}

/**
 * Passes a libc result through, or throws.
 * @throws SystemError when `result` is −1.
 */
export function check(syscall: string, result: number, detail = ''): number {
  if (result === -1) throw new SystemError(syscall, errno(), detail);
  return result;
}

/** How many addresses are asked for before a call that uses the first of them, at most. */
const LATELY = 64;
const lately: (ArrayBuffer | ArrayBufferView)[] = [];
let asked = 0;

/**
 * The address of a buffer's first byte. The caller never resizes or transfers it while the kernel may use
 * the address. `borrowed:` nothing is copied. The buffer stays alive until {@link LATELY} other addresses
 * were asked for, which is longer than any call takes, since the garbage collector sees no number as a use
 * of it; who keeps an address for longer keeps the buffer too.
 */
export function addressOf(buffer: ArrayBuffer | ArrayBufferView): number {
  lately[asked++ % LATELY] = buffer;
  if (ArrayBuffer.isView(buffer)) {
    return Number(koffi.address(buffer.buffer)) + buffer.byteOffset;
  }
  return Number(koffi.address(buffer));
}

/**
 * An ArrayBuffer over `length` bytes of memory at `address` (memory that mmap returned).
 * The view must not be used after munmap.
 */
export function viewMemory(address: number, length: number): ArrayBuffer {
  return koffi.view(BigInt(address), length);
}
