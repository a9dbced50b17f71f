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
