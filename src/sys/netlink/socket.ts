/**
 * One rtnetlink socket: requests, acknowledgements and dumps.
 *
 * The `netlink` package gives the socket a place in the event loop (raw.ts); framing is
 * ours, because its own layer drops the error number of a refusal, the error in a dump's end and
 * the mark of an interrupted dump. Requests go one at a time: the kernel answers a second dump on the same socket
 * with EBUSY.
 * @module
 */
import { endianness } from 'node:os';
import { errnoName } from '../libc/libc.ts';
import type { BpfInstruction } from '../sockets/bpf.ts';
import { NETLINK_ROUTE, RawNetlink } from './raw.ts';

export const LITTLE = endianness() === 'LE';

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
const NLM_F_DUMP_INTR = 0x10;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
export const HEADER_BYTES = 16;

/** Tries of a dump that changed under our hands; each is a full table, so few are enough. */
const DUMP_TRIES_MAX = 5;
/** The kernel answers within microseconds unless rtnl is held by a slow driver. */
const ANSWER_TIMEOUT_MS = 10_000;

/** A refused or failed netlink request. `code` is the errno name, `operation` what was tried. */
export class NetlinkError extends Error {
  readonly code: string;
  readonly operation: string;

  constructor(operation: string, code: string, detail = '') {
    super(`cannot ${operation}: ${code}${detail === '' ? '' : ` (${detail})`}`);
    this.name = 'NetlinkError';
    this.code = code;
    this.operation = operation;
  }
}

/** A received message: `payload` is what follows the netlink header. `borrowed:` from the receive buffer. */
export type NetlinkMessage = { type: number; flags: number; sequence: number; payload: Buffer };

type Waiting = {
  sequence: number;
  dump: boolean;
  operation: string;
  messages: NetlinkMessage[];
  interrupted: boolean;
  resolve: (answer: { messages: NetlinkMessage[]; interrupted: boolean }) => void;
  reject: (error: Error) => void;
};

/** Splits a datagram into messages; a cut-off tail is ignored, as the kernel never sends one. */
export function splitMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(offset, LITTLE);
    if (length < HEADER_BYTES || offset + length > bytes.length) break;
    messages.push({
      type: view.getUint16(offset + 4, LITTLE),
      flags: view.getUint16(offset + 6, LITTLE),
      sequence: view.getUint32(offset + 8, LITTLE),
      payload: bytes.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += (length + 3) & ~3;
  }
  return messages;
}

/** A request socket, bound in the namespace the main thread is in when it is made. */
export class NetlinkSocket {
  readonly #socket: RawNetlink;
  #sequence = 0;
  #waiting: Waiting | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @throws Error with code EPROTONOSUPPORT when the kernel has no such netlink family. */
  constructor(protocol: number = NETLINK_ROUTE) {
    this.#socket = new RawNetlink(
      (bytes) => this.#receive(bytes),
      (code) => this.#waiting?.reject(new NetlinkError(this.#waiting.operation, code)),
      protocol,
    );
    this.#socket.unref();
  }

  /**
   * Sends one request and waits for its acknowledgement, or for the answer of a plain GET.
   * @throws NetlinkError with the kernel's errno name.
   */
  async request(operation: string, type: number, flags: number, body: Buffer) {
    const send = () => this.#exchange(operation, type, flags | NLM_F_ACK, body, false);
    return (await this.#inTurn(send)).messages;
  }

  /**
   * Reads a whole table, again when it changed meanwhile (NLM_F_DUMP_INTR).
   * @throws NetlinkError; EINTR when it kept changing.
   */
  async dump(operation: string, type: number, body: Buffer): Promise<NetlinkMessage[]> {
    return this.#inTurn(async () => {
      for (let tries = 0; tries < DUMP_TRIES_MAX; tries++) {
        const answer = await this.#exchange(operation, type, NLM_F_DUMP, body, true);
        if (!answer.interrupted) return answer.messages;
      }
      throw new NetlinkError(operation, 'EINTR', 'the table kept changing while it was read');
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#waiting?.reject(new NetlinkError(this.#waiting.operation, 'ECLOSED', 'socket closed'));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  #exchange(operation: string, type: number, flags: number, body: Buffer, dump: boolean) {
    if (this.#closed) throw new NetlinkError(operation, 'ECLOSED', 'socket closed');
    this.#sequence = (this.#sequence + 1) >>> 0;
    const sequence = this.#sequence;
    const bytes = Buffer.alloc(HEADER_BYTES + body.length);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(0, bytes.length, LITTLE);
    view.setUint16(4, type, LITTLE);
    view.setUint16(6, flags | NLM_F_REQUEST, LITTLE);
    view.setUint32(8, sequence, LITTLE);
    body.copy(bytes, HEADER_BYTES);
    this.#socket.ref();
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<{ messages: NetlinkMessage[]; interrupted: boolean }>(
      (resolve, reject) => {
        const messages: NetlinkMessage[] = [];
        this.#waiting = {
          sequence,
          dump,
          operation,
          messages,
          interrupted: false,
          resolve,
          reject,
        };
        timer = setTimeout(
          () => reject(new NetlinkError(operation, 'ETIMEDOUT', 'the kernel did not answer')),
          ANSWER_TIMEOUT_MS,
        );
        this.#socket.send(bytes, (code) => reject(new NetlinkError(operation, code)));
      },
    );
    return answer.finally(() => {
      clearTimeout(timer);
      this.#waiting = undefined;
      this.#socket.unref();
    });
  }

  #receive(bytes: Buffer): void {
    for (const message of splitMessages(bytes)) {
      const waiting = this.#waiting;
      // A late acknowledgement of an earlier GET carries an older sequence number.
      if (waiting === undefined || message.sequence !== waiting.sequence) continue;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) waiting.interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        const view = new DataView(message.payload.buffer, message.payload.byteOffset);
        const error = message.payload.length >= 4 ? -view.getInt32(0, LITTLE) : 0;
        const refused = () =>
          new NetlinkError(waiting.operation, errnoName(error), explanation(message));
        if (error > 0) waiting.reject(refused());
        else waiting.resolve(waiting);
      } else {
        waiting.messages.push(message);
      }
    }
  }
}

/** Gives a socket another BPF program whenever it likes, until the returned function is called. */
export type Filter = { follow(attach: (program: readonly BpfInstruction[]) => void): () => void };

export type ListenOptions = {
  /** Lets the process end while listening. */
  background?: boolean;
  /** Receive buffer in bytes, limited by net.core.rmem_max. */
  bufferBytes?: number;
  /** What the kernel filters; may change at any time. */
  filter?: Filter;
  /** The netlink family; NETLINK_ROUTE unless given. */
  protocol?: number;
};

/** The kernel's own words about a refusal (extended acknowledgement), or ''. */
function explanation(message: NetlinkMessage): string {
  if (message.type !== NLMSG_ERROR || (message.flags & NLM_F_ACK_TLVS) === 0) return '';
  const view = new DataView(message.payload.buffer, message.payload.byteOffset);
  // struct nlmsgerr: error, the request's header, and its body unless NLM_F_CAPPED.
  const capped = (message.flags & NLM_F_CAPPED) !== 0;
  const requestBytes = capped ? HEADER_BYTES : view.getUint32(4, LITTLE);
  for (let offset = 4 + ((requestBytes + 3) & ~3); offset + 4 <= message.payload.length; ) {
    const length = view.getUint16(offset, LITTLE);
    if (length < 4 || offset + length > message.payload.length) break;
    if (view.getUint16(offset + 2, LITTLE) === NLMSGERR_ATTR_MSG) {
      return message.payload.toString('utf8', offset + 4, offset + length).replace(/\0.*$/s, '');
    }
    offset += (length + 3) & ~3;
  }
  return '';
}

/**
 * Listens to multicast groups. `onLost` is called when the kernel had to drop notifications
 * (ENOBUFS) or the socket failed: whoever listens must read the tables anew.
 * Keeps the event loop alive until the returned function is called, unless `background`.
 */
export function listen(
  groups: readonly number[],
  onMessage: (message: NetlinkMessage) => void,
  onLost: (code: string) => void,
  options: ListenOptions = {},
): () => void {
  let open = true;
  let dropped = 0;
  const socket = new RawNetlink(
    (bytes) => {
      for (const message of splitMessages(bytes)) if (open) onMessage(message);
      // Whatever was dropped was dropped while this or an earlier datagram filled the buffer.
      const now = open ? socket.dropped() : dropped;
      if (now === dropped) return;
      dropped = now;
      onLost('ENOBUFS');
    },
    (code) => onLost(code),
    options.protocol,
  );
  // Room for a burst of a few thousand notifications (default 212,992 bytes).
  socket.setReceiveBuffer(options.bufferBytes ?? 1 << 20);
  const unfollow = options.filter?.follow((program) => socket.attachFilter(program));
  for (const group of groups) socket.addMembership(group);
  if (options.background === true) socket.unref();
  return () => {
    if (!open) return;
    open = false;
    unfollow?.();
    socket.close();
  };
}
