/**
 * Sockets that lead nowhere but to each other (unix(7)).
 * @module
 */
import { AF_UNIX, F_DUPFD_CLOEXEC, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../libc/constants.ts';
import { addressOf, check, errno, libc } from '../libc/libc.ts';

/** Two connected sockets, non-blocking. @throws SystemError */
export function socketPair(type: number): [number, number] {
  const pair = new Int32Array(2);
  const flags = type | SOCK_CLOEXEC | SOCK_NONBLOCK;
  check('socketpair', libc.socketpair(AF_UNIX, flags, 0, addressOf(pair)));
  const [a = -1, b = -1] = pair;
  return [a, b];
}

/** sun_path holds 108 bytes, the zero at its end among them. */
const PATH_BYTES_MAX = 107;

/** Whether a path is short enough for a unix socket. */
export function isLocalPath(socketPath: string): boolean {
  return Buffer.byteLength(socketPath) <= PATH_BYTES_MAX;
}

/**
 * The address of a unix socket by its path; one that begins with `@` is abstract.
 * @throws RangeError for a path that is too long to be one.
 */
export function localAddress(socketPath: string): Buffer<ArrayBuffer> {
  const path = Buffer.from(socketPath, 'utf8');
  if (!isLocalPath(socketPath)) {
    throw new RangeError(`${socketPath}: the path of a socket has at most ${PATH_BYTES_MAX} bytes`);
  }
  // An abstract address begins with a zero byte and has no zero at its end.
  const isAbstract = socketPath.startsWith('@');
  const address = Buffer.alloc(2 + path.length + (isAbstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  path.copy(address, 2);
  if (isAbstract) address[2] = 0;
  return address;
}

/** Gives a socket the address that `name` holds, family included; 0, or the negative of its errno. */
export function bindName(socket: number, name: Uint8Array<ArrayBuffer>): number {
  return libc.bind(socket, addressOf(name), name.length) === 0 ? 0 : -errno();
}

/** A second descriptor of the same. @throws SystemError */
export function duplicate(descriptor: number): number {
  return check('fcntl', libc.fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
}

export function closeDescriptor(descriptor: number): void {
  libc.close(descriptor);
}
