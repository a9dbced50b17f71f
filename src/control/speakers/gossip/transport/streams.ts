/**
 * Bulk transfer of blocks over TCP: a member that lacks many asks one that has them. The client
 * sends what it wants and an empty message list; the server sends blocks and an empty message
 * list. What was cut off is asked for again, and only that, so a transfer goes on where it ended.
 *
 * Everything is bounded: connections in all and from one address, time, and bytes a second.
 * @module
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { codeOf, messageOf } from '../../../../errors.ts';
import type { PullSink, Want } from '../../../../gossip/base/api.ts';
import type { Signer, Verifier } from '../../../../gossip/base/signer.ts';
import { type Asked, askOf, readAsk } from '../../../../gossip/seal/asked.ts';
import type { Channel, ChannelStream } from '../../../../gossip/seal/channel.ts';
import { strangerOf } from '../../../../gossip/seal/strangers.ts';
import type { Log } from '../../../../log.ts';
import {
  type Family,
  familyOf,
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../../../net/underlay-address.ts';
import { TOLD_BYTES_MAX } from '../../../../wire/gossip/bounds.ts';
import { decodeMessages, encodeMessages } from '../../../../wire/gossip/message.ts';
import {
  type Endpoint,
  type Message,
  MessageType,
  type NodeId,
  type Question,
  type RawBlock,
} from '../../../../wire/gossip/types.ts';
import { Pace } from './pace.ts';
import { blockCount, END, payloadsOf, requestOf } from './payloads.ts';
import type { SocketCounters } from './socket-counters.ts';

export const STREAMS_IN_MAX = 16;
export const STREAMS_PER_ADDRESS_MAX = 4;
export const STREAMS_OUT_MAX = 4;
/** To prove the key and to say what is wanted. */
export const STREAM_REQUEST_MS = 5000;
/** Without a byte in either direction. */
export const STREAM_IDLE_MS = 10_000;
export const STREAM_LIFE_MS = 120_000;
const WANTS_MAX = 4096;
/** Questions of ours that wait for their answers. */
export const QUESTIONS_MAX = 8;
/** An answer, bytes. */
export const ANSWER_BYTES_MAX = 512 * 1024;
/** While an answer is made, the other side hears this often that it is. */
const BEAT_MS = 3000;

type StreamOptions = {
  /** null = every address of the families. */
  bind: UnderlayAddress | null;
  /** Families that there are sockets of, IPv4 alone unless given. */
  families?: readonly Family[];
  port: number;
  channel: Channel;
  /** The blocks that are here of those wanted. */
  serve: (wants: Want[]) => Iterable<RawBlock[]>;
  /** Our id and key, and what checks others'. */
  self: NodeId;
  signer: Signer;
  verifier: Verifier;
  /** Our answer to a question; undefined when it is none that we know. */
  answer: (asked: Asked) => Promise<string> | undefined;
  counters: SocketCounters;
  log: Log;
};

export class Streams {
  readonly #options: StreamOptions;
  readonly #pace = new Pace();
  readonly #incoming = new Map<Socket, UnderlayAddress>();
  readonly #outgoing = new Set<Socket>();
  readonly #questions = new Set<Socket>();
  readonly #servers: Server[] = [];
  #isOpen = false;

  private constructor(options: StreamOptions) {
    this.#options = options;
  }

  /** Listens. @throws the binding error. */
  static async open(options: StreamOptions): Promise<Streams> {
    const streams = new Streams(options);
    try {
      for (const family of options.families ?? ([4] as const)) await streams.#openServer(family);
    } catch (error) {
      await streams.close();
      throw error;
    }
    streams.#isOpen = true;
    return streams;
  }

  async #openServer(family: Family): Promise<void> {
    const { bind, port, counters, log } = this.#options;
    const server = createServer((socket) => this.#accept(socket));
    server.maxConnections = STREAMS_IN_MAX;
    server.on('drop', () => counters.count('overflow.streams_in'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const every = family === 6 ? '::' : '0.0.0.0';
      const host = bind === null ? every : formatHostAddress(bind);
      server.listen({ port, host, ipv6Only: true, backlog: STREAMS_IN_MAX }, resolve);
    });
    server.removeAllListeners('error');
    // EMFILE and the like: that connection is lost, the next may not be.
    server.on('error', (error) => {
      counters.count('streams.failed');
      log.warn('gossip', `stream server: ${messageOf(error)}`);
    });
    this.#servers.push(server);
  }

  #accept(socket: Socket): void {
    const { channel, counters } = this.#options;
    socket.on('error', () => undefined);
    const { remoteAddress } = socket;
    // A link-local client (`fe80::1%eth0`) is refused like one that is gone already.
    const address =
      remoteAddress === undefined || remoteAddress.includes('%')
        ? undefined
        : parseHostAddress(remoteAddress);
    const stranger = address === undefined ? undefined : strangerOf(address);
    const fromThere = [...this.#incoming.values()].filter((other) => other === stranger).length;
    if (address === undefined || fromThere >= STREAMS_PER_ADDRESS_MAX || !channel.admit(address)) {
      counters.count('streams.refused_client');
      socket.destroy();
      return;
    }
    counters.count('streams.accepted');
    this.#incoming.set(socket, strangerOf(address));
    socket.once('close', () => this.#incoming.delete(socket));
    this.#limit(socket);
    const wants: Want[] = [];
    let asked: Asked | undefined;
    let isAsked = false;
    const stream = channel.accept();
    const hurry = setTimeout(() => this.#timeOut(socket), STREAM_REQUEST_MS);
    socket.once('close', () => clearTimeout(hurry));
    this.#listen(socket, stream, (messages) => {
      if (isAsked) throw new Error('something follows the end of the request');
      if (messages.length === 0) {
        isAsked = true;
        clearTimeout(hurry);
        void this.#serve(socket, stream, wants, asked);
        return;
      }
      for (const message of messages) {
        if (message.type === MessageType.Ask && stream.peer !== undefined) {
          const { self: to, verifier } = this.#options;
          asked = readAsk(message, { from: stream.peer, to, verifier });
        }
        if (message.type !== MessageType.Want) continue;
        const { owner, epoch, ranges } = message;
        wants.push({ owner, epoch, ranges });
      }
      if (wants.length > WANTS_MAX) throw new Error('more is wanted than anybody can lack');
    });
  }

  #limit(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setTimeout(STREAM_IDLE_MS, () => this.#timeOut(socket));
    const life = setTimeout(() => this.#timeOut(socket), STREAM_LIFE_MS);
    socket.once('close', () => clearTimeout(life));
  }

  #timeOut(socket: Socket): void {
    this.#options.counters.count('streams.timeouts');
    socket.destroy();
  }

  /** Hands each payload that comes to `take`; whatever is wrong ends the connection without a word. */
  #listen(socket: Socket, stream: ChannelStream, take: (messages: Message[]) => void): void {
    socket.on('data', (chunk: Uint8Array) => {
      try {
        const { write, payloads } = stream.push(chunk);
        if (write.length > 0) socket.write(write);
        for (const payload of payloads) take(decodeMessages(payload).messages);
      } catch (error) {
        this.#options.counters.count('streams.failed');
        this.#options.log.debug('gossip', `stream: ${codeOf(error)} ${messageOf(error)}`);
        socket.destroy();
      }
    });
  }

  async #serve(
    socket: Socket,
    stream: ChannelStream,
    wants: Want[],
    asked: Asked | undefined,
  ): Promise<void> {
    try {
      for (const blocks of this.#options.serve(wants)) {
        for (const payload of payloadsOf(blocks)) {
          await this.#pace.take(payload.length);
          await this.#write(socket, stream.seal(payload));
        }
      }
      if (asked !== undefined) await this.#tell(socket, stream, asked);
      socket.end(stream.seal(END));
    } catch (error) {
      this.#options.counters.count('streams.failed');
      this.#options.log.debug('gossip', `stream: ${messageOf(error)}`);
      socket.destroy();
    }
  }

  /** Tells our answer in parts, and while it is made that it is. */
  async #tell(socket: Socket, stream: ChannelStream, asked: Asked): Promise<void> {
    const answer = this.#options.answer(asked);
    if (answer === undefined) return;
    this.#options.counters.count('streams.questions');
    const told = (part: Uint8Array): Uint8Array =>
      stream.seal(encodeMessages([{ type: MessageType.Told, part }]));
    const beat = setInterval(() => {
      if (!socket.destroyed) socket.write(told(new Uint8Array(0)));
    }, BEAT_MS);
    try {
      const bytes = Buffer.from(await answer);
      for (let at = 0; at < bytes.length; at += TOLD_BYTES_MAX) {
        const part = bytes.subarray(at, at + TOLD_BYTES_MAX);
        await this.#pace.take(part.length);
        await this.#write(socket, told(part));
      }
    } finally {
      clearInterval(beat);
    }
  }

  /**
   * Asks a member; what it told, '' when it does not know the question.
   * @throws Error when it cannot be reached, hangs up, or tells too much.
   */
  ask(to: Endpoint, peer: NodeId, question: Question, about = ''): Promise<string> {
    const { channel, counters, self: from, signer } = this.#options;
    if (this.#questions.size >= QUESTIONS_MAX || !this.#isOpen) {
      counters.count('overflow.streams_out');
      return Promise.reject(new Error('too many questions at once'));
    }
    return new Promise((resolve, reject) => {
      const parts: Uint8Array[] = [];
      let [asked, whole, byteCount] = [false, false, 0];
      const stream = channel.connect(to, peer);
      const socket = connect({
        host: formatHostAddress(to.address),
        port: to.port,
        ...this.#from(to),
      });
      this.#questions.add(socket);
      this.#limit(socket);
      let why = 'it hung up';
      socket.on('error', (error) => {
        why = messageOf(error);
      });
      socket.once('close', () => {
        this.#questions.delete(socket);
        if (whole) resolve(Buffer.concat(parts).toString('utf8'));
        else reject(new Error(why));
      });
      socket.once('connect', () => socket.write(stream.start()));
      this.#listen(socket, stream, (messages) => {
        if (messages.length === 0) {
          whole = true;
          socket.destroy();
        }
        for (const message of messages) {
          if (message.type !== MessageType.Told) continue;
          byteCount += message.part.length;
          if (byteCount > ANSWER_BYTES_MAX) throw new Error('an answer without end');
          parts.push(message.part);
        }
      });
      // After the listener above: the answer to our greeting is what makes the peer known.
      socket.on('data', () => {
        if (asked || stream.peer === undefined || socket.destroyed) return;
        asked = true;
        const message = askOf(question, about, { from, to: peer, signer });
        socket.write(stream.seal(encodeMessages([message])));
        socket.write(stream.seal(END));
      });
    });
  }

  /** Resolves when the kernel has room for more. */
  async #write(socket: Socket, bytes: Uint8Array): Promise<void> {
    if (socket.destroyed) throw new Error('the client went away');
    if (socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      socket.on('drain', done);
      socket.on('close', done);
    });
  }

  /** The address that we go out from, where there is one. */
  #from({ address }: Endpoint): { localAddress?: string } {
    const { bind } = this.#options;
    if (bind === null || familyOf(bind) !== familyOf(address)) return {};
    return { localAddress: formatHostAddress(bind) };
  }

  /** Fetches blocks; `done.end` is called exactly once, and never before this returns. */
  pull(to: Endpoint, peer: NodeId, wants: Want[], done: PullSink): void {
    const { channel, counters } = this.#options;
    if (this.#outgoing.size >= STREAMS_OUT_MAX || !this.#isOpen) {
      counters.count('overflow.streams_out');
      setImmediate(() => done.end(false));
      return;
    }
    counters.count('streams.opened');
    let whole = false;
    let asked = false;
    let awaited = wants.reduce((sum, want) => sum + blockCount(want), 0);
    const stream = channel.connect(to, peer);
    const socket = connect({
      host: formatHostAddress(to.address),
      port: to.port,
      ...this.#from(to),
    });
    this.#outgoing.add(socket);
    this.#limit(socket);
    socket.on('error', () => counters.count('streams.failed'));
    socket.once('close', () => {
      this.#outgoing.delete(socket);
      done.end(whole);
    });
    const ask = (): void => {
      if (asked || stream.peer === undefined) return;
      asked = true;
      for (const payload of requestOf(wants)) socket.write(stream.seal(payload));
    };
    socket.once('connect', () => {
      socket.write(stream.start());
      ask();
    });
    this.#listen(socket, stream, (messages) => {
      if (messages.length === 0) {
        whole = true;
        socket.destroy();
        return;
      }
      for (const message of messages) {
        if (message.type !== MessageType.Blocks) continue;
        awaited -= message.blocks.length;
        if (awaited < 0) throw new Error('more blocks than were asked for');
        done.blocks(message.blocks);
      }
    });
    // After the listener above: the answer to our greeting is what makes the peer known.
    socket.on('data', ask);
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    for (const socket of [...this.#incoming.keys(), ...this.#outgoing, ...this.#questions]) {
      socket.destroy();
    }
    const closed = this.#servers
      .splice(0)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    await Promise.all(closed);
  }
}
