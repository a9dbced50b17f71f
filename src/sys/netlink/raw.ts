/**
 * The `netlink` package's socket, made safe.
 *
 * Version 0.3.0 ends the process (abort, no exception) when a listener throws and when the
 * receive buffer overruns: it meets POLLERR and builds an error from a null string. So listeners
 * are guarded, and the kernel is told not to raise ENOBUFS (NETLINK_NO_ENOBUFS); overruns are seen
 * in the socket's drop counter instead. test/assumptions/netlink-package.test.ts holds the proof.
 * @module
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { addressOf, check, errno, libc, SystemError } from '../libc/libc.ts';
import { attachFilter, type BpfInstruction } from '../sockets/bpf.ts';
import { readSocketMemory } from '../sockets/socket-memory.ts';

/** Netlink families (linux/netlink.h). */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const AF_NETLINK = 16;
const SOL_SOCKET = 1;
const SO_PROTOCOL = 38;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

type CodedError = Error & { code?: string };
/** The slice of the package that we use (its own typings bring a second copy of Node's). */
type PackageSocket = {
  on(event: 'message', listener: (bytes: Buffer) => void): void;
  on(event: 'error', listener: (error: CodedError) => void): void;
  send(bytes: Buffer, options: object, callback: (error?: CodedError) => void): void;
  address(): { port: number };
  addMembership(group: number): void;
  setRecvBufferSize(bytes: number): void;
  ref(): void;
  unref(): void;
  close(): void;
};
type NetlinkPackage = { RawNetlinkSocket: new (protocol: number) => PackageSocket };

const netlinkPackage = createRequire(import.meta.url)('netlink') as NetlinkPackage;

/** No error for a full receive buffer, acknowledgements without the request, and the kernel's own words. */
export function setNetlinkOptions(fd: number): void {
  const on = new Uint32Array([1]);
  for (const name of [NETLINK_NO_ENOBUFS, NETLINK_CAP_ACK, NETLINK_EXT_ACK]) {
    check('setsockopt', libc.setsockopt(fd, SOL_NETLINK, name, addressOf(on), 4));
  }
}

/** Descriptors of open sockets of ours: two in different namespaces may share a port number. */
const claimed = new Set<number>();

/** A bound netlink socket in the event loop. */
export class RawNetlink {
  readonly #socket: PackageSocket;
  readonly #fd: number;
  #open = true;

  /**
   * @param onMessage gets each datagram; may throw (reported as an uncaught exception).
   * @param onError gets the errno name when the socket failed.
   */
  constructor(
    onMessage: (bytes: Buffer) => void,
    onError: (code: string) => void,
    protocol: number = NETLINK_ROUTE,
  ) {
    this.#socket = new netlinkPackage.RawNetlinkSocket(protocol);
    this.#fd = findDescriptor(this.#socket.address().port, protocol);
    claimed.add(this.#fd);
    setNetlinkOptions(this.#fd);
    this.#socket.on('message', guarded(onMessage));
    this.#socket.on(
      'error',
      guarded((error: CodedError) => onError(error.code ?? 'EIO')),
    );
  }

  /** Calls back with the errno name when the kernel did not take it. */
  send(bytes: Buffer, onFailure: (code: string) => void): void {
    this.#socket.send(
      bytes,
      {},
      guarded((error?: CodedError) => {
        if (error) onFailure(error.code ?? 'EIO');
      }),
    );
  }

  /** Messages that the kernel threw away since the socket was made. */
  dropped(): number {
    const memory = readSocketMemory(this.#fd);
    if (memory === undefined) throw new SystemError('getsockopt', errno());
    return memory.drops;
  }

  /** Lets the kernel throw away what `program` refuses. @throws SystemError */
  attachFilter(program: readonly BpfInstruction[]): void {
    attachFilter(this.#fd, program);
  }

  addMembership(group: number): void {
    this.#socket.addMembership(group);
  }
  setReceiveBuffer(bytes: number): void {
    this.#socket.setRecvBufferSize(bytes);
  }
  ref(): void {
    if (this.#open) this.#socket.ref();
  }
  unref(): void {
    if (this.#open) this.#socket.unref();
  }
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    claimed.delete(this.#fd);
    this.#socket.close();
  }
}

/** A listener whose exception surfaces as an ordinary uncaught one, not as an abort. */
function guarded<T>(listener: (value: T) => void): (value: T) => void {
  return (value) => {
    try {
      listener(value);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  };
}

/** The package keeps its descriptor to itself; the port it is bound to gives it away. */
function findDescriptor(port: number, protocol: number): number {
  const name = new DataView(new ArrayBuffer(12));
  const length = new Uint32Array(1);
  const value = new Int32Array(1);
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  for (const entry of readdirSync('/proc/self/fd')) {
    const fd = Number(entry);
    if (claimed.has(fd)) continue;
    length[0] = name.byteLength;
    if (libc.getsockname(fd, addressOf(name), addressOf(length)) !== 0) continue;
    // struct sockaddr_nl: family u16, pad u16, port u32, groups u32.
    if (name.getUint16(0, little) !== AF_NETLINK) continue;
    if (name.getUint32(4, little) !== port >>> 0) continue;
    // Each netlink family numbers its ports by itself.
    value[0] = -1;
    length[0] = value.byteLength;
    libc.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, addressOf(value), addressOf(length));
    if (value[0] === protocol) return fd;
  }
  throw new Error(`no descriptor of a netlink socket with port ${port}`);
}
