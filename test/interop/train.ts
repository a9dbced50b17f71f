/**
 * UDP trains (UDP_SEGMENT): one send of many datagrams, as QUIC servers do. The kernel keeps them
 * together as long as it can, also through its own tunnels.
 * @module
 */
import type { LabContainer } from '../../src/demo/lab.ts';
import {
  AF_INET,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  SOL_UDP,
  UDP_SEGMENT,
} from '../../src/sys/libc/constants.ts';
import { addressOf, check, errno, errnoName, libc, SystemError } from '../../src/sys/libc/libc.ts';
import { socketAddress } from '../../src/sys/sockets/sockets.ts';

const BUFFER_BYTES = 65_536;
const RECEIVE_BUFFER_BYTES = 4 << 20;

/** A plain UDP socket in a container. */
export class DatagramSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);

  /** @throws SystemError EADDRINUSE */
  constructor(container: LabContainer, port: number) {
    this.#fd = container.run(() => {
      const type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
      const fd = check('socket', libc.socket(AF_INET, type, 0));
      const name = socketAddress(container.address, port);
      check('bind', libc.bind(fd, addressOf(name), name.length));
      const size = Int32Array.of(RECEIVE_BUFFER_BYTES);
      libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, addressOf(size), 4);
      return fd;
    });
  }

  /** Sends `payload` as datagrams of `segmentBytes`, the last one perhaps shorter. @throws SystemError */
  sendTrain(payload: Buffer, segmentBytes: number, to: number, port: number): void {
    const size = Int32Array.of(segmentBytes);
    check('UDP_SEGMENT', libc.setsockopt(this.#fd, SOL_UDP, UDP_SEGMENT, addressOf(size), 4));
    const name = socketAddress(to, port);
    check(
      'sendto',
      libc.sendto(this.#fd, addressOf(payload), payload.length, 0, addressOf(name), name.length),
    );
  }

  /** Datagrams that wait. */
  take(): Buffer[] {
    const datagrams: Buffer[] = [];
    for (;;) {
      const length = libc.read(this.#fd, addressOf(this.#buffer), BUFFER_BYTES);
      if (length === -1) {
        const code = errnoName(errno());
        if (code === 'EAGAIN' || code === 'EINTR') return datagrams;
        throw new SystemError('read', errno());
      }
      datagrams.push(Buffer.from(this.#buffer.subarray(0, length)));
    }
  }

  close(): void {
    libc.close(this.#fd);
  }
}
