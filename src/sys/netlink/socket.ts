/**
 * Netlink sockets: requests, acknowledgements and dumps on one, notifications on another kind.
 *
 * A request needs no place in the event loop. The `netlink` package gives one to who listens (raw.ts);
 * its own framing is not used, because it drops the error number of a refusal, the error in a dump's end
 * and the mark of an interrupted dump. Requests go one at a time: the kernel answers a second dump on the
 * same socket with EBUSY.
 * @module
 */
import { endianness } from 'node:os';
import { EAGAIN, EINTR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from '../libc/constants.ts';
import { addressOf, check, errno, errnoName, libc } from '../libc/libc.ts';
import type { BpfInstruction } from '../sockets/bpf.ts';
import { AF_NETLINK, NETLINK_ROUTE, RawNetlink, setNetlinkOptions } from './raw.ts';

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
/** Longer than any datagram: the kernel makes them of up to 32 kB, or as long as one link needs. */
const ARRIVAL_BYTES = 1 << 18;
/** Datagrams that are read before others of this process have their turn. */
const READ_BURST = 16;
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

/** A received message: `payload` is what follows the netlink header. `borrowed:` from the datagram. */
export type NetlinkMessage = { type: number; flags: number; sequence: number; payload: Buffer };

/** A message to the kernel; `operation` is what an error says was tried. */
export type NetlinkRequest = { operation: string; type: number; flags: number; body: Buffer };

/** Messages that go ahead of a request, and the first refusal among them. */
type Batch = { requests: readonly NetlinkRequest[]; bytes: Buffer; first: number; refusal?: Error };

/** What has come so far of the answer that is waited for. */
type Waiting = {
  sequence: number;
  operation: string;
  batch: Batch | undefined;
  messages: NetlinkMessage[];
  /** Reads each message as it comes; they are kept where there is none. */
  read: ((payload: Buffer) => void) | undefined;
  interrupted: boolean;
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

/** Where datagrams arrive, whichever socket they come by: nothing is left here across a wait. */
let arrivals: Buffer | undefined;

/**
 * A request socket, bound in the namespace the main thread is in when it is made. The kernel answers while
 * it is told, so what it says is read at once, without a turn of the event loop for each datagram.
 */
export class NetlinkSocket {
  readonly #fd: number;
  #sequence = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @throws Error with code EPROTONOSUPPORT when the kernel has no such netlink family. */
  constructor(protocol: number = NETLINK_ROUTE) {
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.#fd = check('socket', libc.socket(AF_NETLINK, type, protocol));
    setNetlinkOptions(this.#fd);
  }

  /**
   * Sends one request and waits for its acknowledgement, or for the answer of a plain GET.
   * @throws NetlinkError with the kernel's errno name.
   */
  async request(operation: string, type: number, flags: number, body: Buffer) {
    const send = () => this.#exchange({ operation, type, flags: flags | NLM_F_ACK, body });
    return (await this.#inTurn(send)).messages;
  }

  /**
   * Sends messages of which the kernel takes all or none, then a request whose answer it gives only when
   * it is through with them.
   * @returns the answer to `last`
   * @throws NetlinkError the first refusal.
   */
  async batch(requests: readonly NetlinkRequest[], last: NetlinkRequest) {
    const send = () => {
      const first = (this.#sequence + 1) >>> 0;
      const bytes = Buffer.concat(requests.map((request) => this.#framed(request)));
      const batch = { requests, bytes, first };
      return this.#exchange({ ...last, flags: last.flags | NLM_F_ACK }, batch);
    };
    return (await this.#inTurn(send)).messages;
  }

  /**
   * Reads a whole table, again when it changed meanwhile (NLM_F_DUMP_INTR). Tables are long and read often, so
   * nothing of a message stays but what `read` makes of its payload, which is only there meanwhile; undefined =
   * it is no entry.
   * @throws NetlinkError; EINTR when it kept changing.
   */
  async dump<T>(
    operation: string,
    type: number,
    body: Buffer,
    read: (payload: Buffer) => T | undefined,
  ): Promise<T[]> {
    return this.#inTurn(async () => {
      for (let tries = 0; tries < DUMP_TRIES_MAX; tries++) {
        const entries: T[] = [];
        const request = { operation, type, flags: NLM_F_DUMP, body };
        const answer = await this.#exchange(request, undefined, (payload) => {
          const entry = read(payload);
          if (entry !== undefined) entries.push(entry);
        });
        if (!answer.interrupted) return entries;
      }
      throw new NetlinkError(operation, 'EINTR', 'the table kept changing while it was read');
    });
  }

  /** Idempotent; what is under way is refused. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  /** A message as it is sent, under the next number. */
  #framed({ type, flags, body }: NetlinkRequest): Buffer {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const bytes = Buffer.alloc((HEADER_BYTES + body.length + 3) & ~3);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(0, HEADER_BYTES + body.length, LITTLE);
    view.setUint16(4, type, LITTLE);
    view.setUint16(6, flags | NLM_F_REQUEST, LITTLE);
    view.setUint32(8, this.#sequence, LITTLE);
    body.copy(bytes, HEADER_BYTES);
    return bytes;
  }

  async #exchange(
    request: NetlinkRequest,
    batch?: Batch,
    read?: (payload: Buffer) => void,
  ): Promise<Waiting> {
    const { operation } = request;
    this.#mustBeOpen(operation);
    const bytes = this.#framed(request);
    const waiting: Waiting = {
      ...{ sequence: this.#sequence, operation, batch, messages: [], read, interrupted: false },
    };
    const deadlineMs = performance.now() + ANSWER_TIMEOUT_MS;
    if (batch !== undefined) await this.#send(batch.bytes, operation, deadlineMs);
    await this.#send(bytes, operation, deadlineMs);
    arrivals ??= Buffer.alloc(ARRIVAL_BYTES);
    for (let reads = 1; ; reads++) {
      this.#mustBeOpen(operation);
      const length = libc.read(this.#fd, addressOf(arrivals), arrivals.length);
      if (length < 0) await this.#later(operation, deadlineMs);
      else {
        if (length === arrivals.length) throw new NetlinkError(operation, 'EMSGSIZE');
        const arrived = arrivals.subarray(0, length);
        // Messages that are kept need a copy of their own.
        if (take(waiting, read === undefined ? Buffer.from(arrived) : arrived)) return waiting;
        if (reads % READ_BURST === 0) await this.#turn(operation);
      }
    }
  }

  async #send(bytes: Buffer, operation: string, deadlineMs: number): Promise<void> {
    this.#mustBeOpen(operation);
    while (libc.write(this.#fd, addressOf(bytes), bytes.length) < 0) {
      await this.#later(operation, deadlineMs);
    }
  }

  /** After a call that failed: waits where it may be tried again. @throws NetlinkError */
  async #later(operation: string, deadlineMs: number): Promise<void> {
    const number = errno();
    if (number !== EAGAIN && number !== EINTR) throw new NetlinkError(operation, errnoName(number));
    if (performance.now() > deadlineMs) {
      throw new NetlinkError(operation, 'ETIMEDOUT', 'the kernel did not answer');
    }
    await this.#turn(operation);
  }

  /** Lets others of this process have a turn. @throws NetlinkError when the socket was closed meanwhile */
  async #turn(operation: string): Promise<void> {
    await new Promise(setImmediate);
    this.#mustBeOpen(operation);
  }

  /** Asked after every wait, however short: once it is closed its number may be somebody else's. @throws NetlinkError */
  #mustBeOpen(operation: string): void {
    if (this.#closed) throw new NetlinkError(operation, 'ECLOSED', 'socket closed');
  }
}

/** Takes in a datagram; whether the answer is complete. @throws NetlinkError the kernel's refusal */
function take(waiting: Waiting, bytes: Buffer): boolean {
  for (const message of splitMessages(bytes)) {
    if (message.sequence !== waiting.sequence) {
      // A late acknowledgement of an earlier GET carries an older sequence number.
      if (waiting.batch !== undefined) noteRefusal(waiting.batch, message);
      continue;
    }
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) waiting.interrupted = true;
    if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) {
      if (waiting.read === undefined) waiting.messages.push(message);
      else waiting.read(message.payload);
      continue;
    }
    const error = errorIn(message);
    if (waiting.batch?.refusal !== undefined) throw waiting.batch.refusal;
    if (error > 0) throw refused(waiting.operation, error, message);
    return true;
  }
  return false;
}

/** The error number in an acknowledgement or at the end of a dump, 0 = none. */
function errorIn({ payload }: NetlinkMessage): number {
  const view = new DataView(payload.buffer, payload.byteOffset);
  return payload.length >= 4 ? -view.getInt32(0, LITTLE) : 0;
}

function refused(operation: string, error: number, message: NetlinkMessage): NetlinkError {
  return new NetlinkError(operation, errnoName(error), explanation(message));
}

/** Keeps the first refusal of a batch: what comes later may only follow from it. */
function noteRefusal(batch: Batch, message: NetlinkMessage): void {
  const request = batch.requests[(message.sequence - batch.first) >>> 0];
  if (request === undefined || message.type !== NLMSG_ERROR) return;
  const error = errorIn(message);
  if (error > 0) batch.refusal ??= refused(request.operation, error, message);
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
