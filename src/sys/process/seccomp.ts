/**
 * A filter of system calls over every thread of this process (seccomp(2), filter mode): what is not
 * on the list fails with EPERM, for good, also for whoever takes the process over.
 *
 * No new privileges and the filter belong to a thread. `SECCOMP_FILTER_FLAG_TSYNC` puts both on all
 * of them in one step, which no other call does, and it must be called before there is anything to
 * fear: once the loop runs, packets of strangers are read.
 *
 * A refusal, not a kill: which calls a runtime makes beside ours differs between its versions, and
 * all that do are fit to hear "not permitted".
 * @module
 */
import { addressOf, errno, errnoName, libc } from '../libc/libc.ts';

/** Calls by name; numbers of x86-64 and arm64 (asm/unistd.h); −1: not there. */
const CALLS = {
  // The loop's own, the most frequent first: the filter is asked in this order.
  recvmmsg: [299, 243],
  sendmsg: [46, 211],
  readv: [19, 65],
  writev: [20, 66],
  read: [0, 63],
  write: [1, 64],
  poll: [7, -1],
  ppoll: [271, 73],
  sendmmsg: [307, 269],
  recvmsg: [47, 212],
  sched_yield: [24, 124],
  sched_getscheduler: [145, 120],
  clock_nanosleep: [230, 115],
  nanosleep: [35, 101],
  epoll_wait: [232, -1],
  epoll_pwait: [281, 22],
  epoll_ctl: [233, 21],
  // On descriptors that are there: a socket's options and what a peer's path takes.
  getsockopt: [55, 209],
  setsockopt: [54, 208],
  connect: [42, 203],
  getsockname: [51, 204],
  sendto: [44, 206],
  recvfrom: [45, 207],
  close: [3, 57],
  // What the runtime needs to compile, to collect garbage and to end.
  futex: [202, 98],
  madvise: [28, 233],
  mmap: [9, 222],
  munmap: [11, 215],
  mprotect: [10, 226],
  mremap: [25, 216],
  brk: [12, 214],
  clock_gettime: [228, 113],
  gettimeofday: [96, 169],
  getrandom: [318, 278],
  getpid: [39, 172],
  gettid: [186, 178],
  getrusage: [98, 165],
  sched_getaffinity: [204, 123],
  membarrier: [324, 283],
  rseq: [334, 293],
  set_robust_list: [273, 99],
  sigaltstack: [131, 132],
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  restart_syscall: [219, 128],
  // At its end the runtime asks how its first three descriptors are set, and the FFI writes them out.
  fcntl: [72, 25],
  fsync: [74, 82],
  fstat: [5, 80],
  uname: [63, 160],
  exit: [60, 93],
  exit_group: [231, 94],
} as const satisfies Record<string, readonly [number, number]>;

export type CallName = keyof typeof CALLS;

/** The names on the list, for the documentation and its test. */
export const ALLOWED_CALLS: readonly CallName[] = Object.keys(CALLS) as CallName[];

type Machine = {
  /** AUDIT_ARCH_* of linux/audit.h. */
  audit: number;
  column: 0 | 1;
  seccomp: number;
  clone: number;
  clone3: number;
};

const MACHINES: Readonly<Record<string, Machine>> = {
  x64: { audit: 0xc000_003e, column: 0, seccomp: 317, clone: 56, clone3: 435 },
  arm64: { audit: 0xc000_00b7, column: 1, seccomp: 277, clone: 220, clone3: 435 },
};

// linux/seccomp.h, linux/bpf_common.h, linux/sched.h
const SECCOMP_SET_MODE_FILTER = 1;
const FLAG_TSYNC = 1;
/** Without it kernels before 5.16 turn a mitigation on that costs compiled code dear (4.17). */
const FLAG_SPEC_ALLOW = 4;
const RET_KILL_PROCESS = 0x8000_0000;
const RET_ERRNO = 0x0005_0000;
const RET_ALLOW = 0x7fff_0000;
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_BITS = 0x45;
const RETURN = 0x06;
const CLONE_THREAD = 0x0001_0000;
/** x86-64 runs calls of the x32 ABI under numbers from here on. */
const X32_FIRST = 0x4000_0000;
const EPERM = 1;
const ENOSYS = 38;
// struct seccomp_data
const NUMBER_OFFSET = 0;
const ARCH_OFFSET = 4;
const FIRST_ARGUMENT_OFFSET = 16;

/** struct sock_filter: code, jump if true, jump if false, k. */
type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, k: number];

/** The filter for a machine, as instructions of classic BPF. */
export function filterFor(machine: Machine): Instruction[] {
  const numbers = Object.values(CALLS).flatMap((call) => {
    const number = call[machine.column];
    return number < 0 ? [] : [number];
  });
  const head: Instruction[] = [
    [LOAD, 0, 0, ARCH_OFFSET],
    [JUMP_EQUAL, 1, 0, machine.audit],
    [RETURN, 0, 0, RET_KILL_PROCESS],
    [LOAD, 0, 0, NUMBER_OFFSET],
  ];
  // Behind the list: clone and clone3, then the three ways to end.
  const tail: Instruction[] = [
    [JUMP_GREATER_EQUAL, 4, 0, X32_FIRST],
    // glibc asks clone3 first and takes clone where that is not there; its flags lie in memory that
    // a filter cannot read, those of clone in a register.
    [JUMP_EQUAL, 5, 0, machine.clone3],
    [JUMP_EQUAL, 0, 2, machine.clone],
    [LOAD, 0, 0, FIRST_ARGUMENT_OFFSET],
    // A thread of this process, under this filter: yes. Another process: no.
    [JUMP_BITS, 1, 0, CLONE_THREAD],
    [RETURN, 0, 0, RET_ERRNO | EPERM],
    [RETURN, 0, 0, RET_ALLOW],
    [RETURN, 0, 0, RET_ERRNO | ENOSYS],
  ];
  const allowAt = numbers.length + 6;
  const list = numbers.map((number, index): Instruction => {
    return [JUMP_EQUAL, allowAt - index - 1, 0, number];
  });
  return [...head, ...list, ...tail];
}

/** Why the filter is not in force, or '' when it is. */
export type ConfineResult = { reason: string };

/**
 * Puts the filter over all threads. The calling thread must have "no new privileges" set.
 * Never throws: a kernel without seccomp (a user-space kernel, an old one) runs without, and says so.
 */
export function confineProcess(): ConfineResult {
  const machine = MACHINES[process.arch];
  if (machine === undefined) return { reason: `no list of system calls for ${process.arch}` };
  const instructions = filterFor(machine);
  const program = new DataView(new ArrayBuffer(instructions.length * 8));
  for (const [i, [code, whenTrue, whenFalse, k]] of instructions.entries()) {
    program.setUint16(i * 8, code, true);
    program.setUint8(i * 8 + 2, whenTrue);
    program.setUint8(i * 8 + 3, whenFalse);
    program.setUint32(i * 8 + 4, k >>> 0, true);
  }
  // struct sock_fprog: length, padding, pointer.
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, instructions.length, true);
  header.setBigUint64(8, BigInt(addressOf(program)), true);
  for (const flags of [FLAG_TSYNC | FLAG_SPEC_ALLOW, FLAG_TSYNC]) {
    const result = libc.syscall(
      machine.seccomp,
      SECCOMP_SET_MODE_FILTER,
      flags,
      addressOf(header),
      0,
      0,
    );
    if (result === 0) return { reason: '' };
    // The id of the thread that could not be put under it, or an errno.
    if (result > 0) return { reason: `thread ${result} has another filter` };
    if (errnoName(errno()) !== 'EINVAL') break;
  }
  return { reason: errnoName(errno()) };
}
