/**
 * What the kernel holds of a socket's memory, and what it threw away for want of it: SO_MEMINFO (Linux 4.12,
 * `sock_diag(7)`).
 * @module
 */
import { SOL_SOCKET } from '../libc/constants.ts';
import { addressOf, libc } from '../libc/libc.ts';

const SO_MEMINFO = 55;
/** Its words, u32 each (linux/sock_diag.h). */
const WORDS = 9;
const RECEIVE_BUFFER = 1;
const SEND_BUFFER = 3;
const DROPS = 8;
/** The kernel keeps twice what is asked for, for its own bookkeeping (socket(7)). */
const KEPT_FOR_EACH_ASKED = 2;

export type SocketMemory = {
  /** Its buffers, bytes, as somebody would have to ask for them. */
  receiveBytes: number;
  sendBytes: number;
  /**
   * Messages that it did not get, most of them as its receive buffer was full, u32: it starts again at 0 behind
   * 2^32 − 1. A train that the kernel had joined is one.
   */
  drops: number;
};

const words = new Uint32Array(WORDS);
const wordsAddress = addressOf(words);
const length = new Uint32Array(1);
const lengthAddress = addressOf(length);

/** That of a socket of any kind; undefined where the kernel does not tell (errno says why). */
export function readSocketMemory(fd: number): SocketMemory | undefined {
  length[0] = words.byteLength;
  if (libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, wordsAddress, lengthAddress) !== 0) {
    return undefined;
  }
  const word = (index: number): number => words[index] ?? 0;
  return {
    receiveBytes: word(RECEIVE_BUFFER) / KEPT_FOR_EACH_ASKED,
    sendBytes: word(SEND_BUFFER) / KEPT_FOR_EACH_ASKED,
    drops: word(DROPS),
  };
}
