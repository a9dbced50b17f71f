/**
 * A connection over a unix socket that is asked and waits: for the few questions that cannot be
 * answered later. Everything else goes over node:net.
 * @module
 */
import { AF_UNIX, EMSGSIZE, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET } from '../libc/constants.ts';
import { addressOf, check, errno, libc, SystemError } from '../libc/libc.ts';
import { localAddress } from './local-sockets.ts';

const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const CHUNK_BYTES = 64 * 1024;
const ECONNRESET = 104;

export class LocalStream {
  readonly #fd: number;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * @param timeoutMs how long an answer may take
   * @throws SystemError ENOENT or ECONNREFUSED when nobody listens.
   */
  static connect(path: string, timeoutMs: number): LocalStream {
    const fd = check('socket', libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    try {
      // struct timeval
      const limit = Buffer.alloc(16);
      limit.writeBigInt64LE(BigInt(Math.floor(timeoutMs / 1000)), 0);
      limit.writeBigInt64LE(BigInt(Math.round((timeoutMs % 1000) * 1000)), 8);
      for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
        check(
          'setsockopt',
          libc.setsockopt(fd, SOL_SOCKET, option, addressOf(limit), limit.length),
        );
      }
      const address = localAddress(path);
      check('connect', libc.connect(fd, addressOf(address), address.length), path);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
    return new LocalStream(fd);
  }

  /**
   * Sends one line and waits for one line. After an error the connection is of no more use.
   * @param bytesMax of the answer
   * @throws SystemError EAGAIN when it takes too long, ECONNRESET when the other end has closed,
   *   EMSGSIZE for an answer that is too long.
   */
  ask(line: string, bytesMax: number): string {
    const question = Buffer.from(`${line}\n`);
    for (let at = 0; at < question.length; ) {
      const rest = question.subarray(at);
      at += check('write', libc.write(this.#fd, addressOf(rest), rest.length));
    }
    const pieces: Buffer[] = [];
    let length = 0;
    for (;;) {
      const got = libc.read(this.#fd, addressOf(this.#chunk), this.#chunk.length);
      if (got === -1) throw new SystemError('read', errno());
      if (got === 0) throw new SystemError('read', ECONNRESET);
      pieces.push(Buffer.from(this.#chunk.subarray(0, got)));
      length += got;
      if (this.#chunk[got - 1] === 0x0a) break;
      if (length > bytesMax) throw new SystemError('read', EMSGSIZE, 'an answer without end');
    }
    return Buffer.concat(pieces).toString('utf8').trimEnd();
  }

  close(): void {
    libc.close(this.#fd);
  }
}
