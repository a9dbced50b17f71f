/**
 * The near end's view of the far end: a connection on which one command follows the other.
 * @module
 */
import { connect, type Socket } from 'node:net';
import { codeOf, FanwayError, messageOf } from '../errors.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import {
  CONTROL_PORT_DEFAULT,
  type FarEndAnswer,
  type FarEndCommand,
  formatCommand,
  LineReader,
  parseAnswer,
} from './protocol.ts';

/** The far end could not do one thing, and is ready for the next. */
export class FarFailure extends Error {
  override readonly name = 'FarFailure';
}

const CONNECT_MS_MAX = 5000;
/** The far end starts a process for an answer, on a machine that may be busy. */
const ANSWER_MS_MAX = 30_000;
/** No answer waits for more than one other. */
const ANSWERS_WAITING_MAX = 4;

type Awaited = { resolve(answer: FarEndAnswer): void; reject(error: Error): void };

export class FarEnd {
  readonly #socket: Socket;
  readonly #title: string;
  readonly #reader = new LineReader();
  readonly #answers: FarEndAnswer[] = [];
  #awaited: Awaited | undefined;
  #failure: FanwayError | undefined;

  private constructor(socket: Socket, title: string, silent: FanwayError) {
    this.#socket = socket;
    this.#title = title;
    let heard = false;
    socket.on('data', (chunk: Uint8Array) => {
      heard = true;
      this.#take(chunk);
    });
    socket.on('error', (error) => this.#fail(new FanwayError('far-end', messageOf(error))));
    socket.on('close', () =>
      this.#fail(heard ? new FanwayError('far-end', `${title} hung up`) : silent),
    );
  }

  /**
   * Connects to the far end's underlay address from ours (both u32) and waits for its greeting.
   * @throws FanwayError that says what to run or open there.
   */
  static async connect(from: number, to: number, port: number): Promise<FarEnd> {
    const title = formatIpv4(to);
    const flag = `fanway bench --listen${portFlag(port)}`;
    const socket = await open(from, to, port).catch((error: unknown) => {
      if (codeOf(error) === 'ECONNREFUSED') {
        throw new FanwayError(
          'not-listening',
          `nothing listens on ${title}:${port}; run this there first:\n  ${flag}`,
        );
      }
      throw new FanwayError(
        'far-end',
        `${title}:${port} does not answer (${codeOf(error) || messageOf(error)}): is the host up, and does its firewall let TCP port ${port} in, and TCP and UDP port ${port + 1}?\nThis has to run there:\n  ${flag}`,
        { cause: error },
      );
    });
    const near = formatIpv4(from);
    const silent = new FanwayError(
      'not-allowed',
      `${title} hung up without a word: it does not allow ${near}; run this there:\n  ${flag} --allow ${near}/32`,
    );
    const far = new FarEnd(socket, title, silent);
    await far.expect('greeting');
    return far;
  }

  /** Sends one command. */
  tell(command: FarEndCommand): void {
    this.#socket.write(`${formatCommand(command)}\n`);
  }

  /**
   * The next answer, which has to be of this kind.
   * @throws FarFailure when it could not be done; FanwayError with the far end's own words when it
   * refused, or when it is gone.
   */
  async expect<K extends FarEndAnswer['kind']>(
    kind: K,
  ): Promise<Extract<FarEndAnswer, { kind: K }>> {
    const answer = await this.#next();
    if (answer.kind === kind) return answer as Extract<FarEndAnswer, { kind: K }>;
    if (answer.kind === 'failed') throw new FarFailure(`${this.#title} says: ${answer.text}`);
    if (answer.kind === 'error') {
      throw new FanwayError('far-end', `${this.#title} says: ${answer.text}`);
    }
    throw new FanwayError('far-end', `${this.#title} says ${answer.kind} instead of ${kind}`);
  }

  /** Says goodbye. */
  close(): void {
    if (this.#failure === undefined) this.tell({ verb: 'bye' });
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 500).unref();
  }

  #next(): Promise<FarEndAnswer> {
    const answer = this.#answers.shift();
    if (answer !== undefined) return Promise.resolve(answer);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new FanwayError('far-end', `${this.#title} says nothing any more`));
      }, ANSWER_MS_MAX);
      this.#awaited = {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
    });
  }

  #take(chunk: Uint8Array): void {
    try {
      for (const line of this.#reader.take(chunk)) {
        const answer = parseAnswer(line);
        const awaited = this.#awaited;
        this.#awaited = undefined;
        if (awaited !== undefined) awaited.resolve(answer);
        else if (this.#answers.push(answer) > ANSWERS_WAITING_MAX) {
          throw new FanwayError('far-end', `${this.#title} says more than it was asked`);
        }
      }
    } catch (error) {
      this.#fail(
        new FanwayError('far-end', `${this.#title} is no fanway bench: ${messageOf(error)}`),
      );
    }
  }

  #fail(error: FanwayError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#awaited?.reject(error);
    this.#awaited = undefined;
    this.#socket.destroy();
  }
}

function open(from: number, to: number, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: formatIpv4(to), port, localAddress: formatIpv4(from) });
    const timer = setTimeout(() => {
      reject(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' }));
      socket.destroy();
    }, CONNECT_MS_MAX);
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

function portFlag(port: number): string {
  return port === CONTROL_PORT_DEFAULT ? '' : ` --port ${port}`;
}
