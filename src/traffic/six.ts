/**
 * TCP over IPv6 (or IPv4) with its SHA-256 at both ends: one connection, some megabytes, by Node's own sockets.
 * For showing that it works; `--plain` sends one block again and again and hashes how much it was, for comparing
 * the two families. How fast a tunnel is the other programs measure better.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { codeOf } from '../errors.ts';
import { OptionError, type Options } from './base/options.ts';
import { report } from './base/report.ts';

/** How long an address may take to become usable, and how often it is tried, ms. */
const ADDRESS_MS_MAX = 20_000;
const ADDRESS_RETRY_MS = 50;
const CHUNK_BYTES = 256 * 1024;
const BYTES_MAX = 2 ** 34;
const DIGEST_CHARS = 64;

/**
 * `--listen ADDRESS` answers with what it got; `--connect ADDRESS --from ADDRESS --bytes N` sends and compares.
 * Both wait for their own address to become usable (RFC 4862 §5.4): without a source of its choice the kernel takes
 * a link-local one until then, which no other host answers.
 */
export function runSix(options: Options): void {
  const [listen] = options.words('listen');
  const [to] = options.words('connect');
  const [from] = options.words('from');
  const port = options.integer('port', { min: 1, max: 65_535 });
  const bytes = options.integer('bytes', { min: 1, max: BYTES_MAX, default: CHUNK_BYTES });
  const isPlain = options.flag('plain');
  options.done();
  // Whoever started us is gone: so are we.
  process.stdin.on('end', () => process.exit()).resume();
  if (listen !== undefined) serve(listen, port, isPlain);
  else if (to !== undefined) send({ to, port, from, isPlain }, bytes);
  else throw new OptionError('--listen or --connect is missing');
}

/** What both ends hash: everything, or how much it was. */
class Digest {
  readonly #hash = createHash('sha256');
  readonly #isPlain: boolean;
  #bytes = 0;

  constructor(isPlain: boolean) {
    this.#isPlain = isPlain;
  }

  add(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (!this.#isPlain) this.#hash.update(chunk);
  }

  end(): string {
    if (this.#isPlain) this.#hash.update(String(this.#bytes));
    return this.#hash.digest('hex');
  }
}

function serve(address: string, port: number, isPlain: boolean): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const digest = new Digest(isPlain);
    socket.on('data', (chunk) => digest.add(chunk));
    socket.on('end', () => socket.end(digest.end()));
    socket.on('error', () => socket.destroy());
  });
  const deadlineMs = performance.now() + ADDRESS_MS_MAX;
  const listen = (): void => void server.listen(port, address);
  server.on('listening', () => report({ event: 'ready' }));
  server.on('error', (error) => {
    if (codeOf(error) === 'EADDRNOTAVAIL' && performance.now() < deadlineMs) {
      setTimeout(listen, ADDRESS_RETRY_MS);
    } else {
      report({ event: 'error', message: error.message });
      process.exit(1);
    }
  });
  listen();
}

type Way = { to: string; port: number; from: string | undefined; isPlain: boolean };

function send(way: Way, bytes: number, deadlineMs = performance.now() + ADDRESS_MS_MAX): void {
  const { to, port, from, isPlain } = way;
  const digest = new Digest(isPlain);
  const block = randomBytes(CHUNK_BYTES);
  const startMs = performance.now();
  let answer = '';
  const socket = connect({ host: to, port, ...(from !== undefined && { localAddress: from }) });
  socket.on('error', (error) => {
    if (codeOf(error) === 'EADDRNOTAVAIL' && performance.now() < deadlineMs) {
      setTimeout(send, ADDRESS_RETRY_MS, way, bytes, deadlineMs);
    } else report({ event: 'error', message: error.message });
  });
  socket.on('data', (chunk) => {
    answer = `${answer}${chunk.toString()}`.slice(0, DIGEST_CHARS);
  });
  socket.on('end', () => {
    const seconds = (performance.now() - startMs) / 1000;
    const sha256 = digest.end();
    report({ event: 'six', bytes, seconds, sha256, equal: answer === sha256 });
    process.exit();
  });
  const more = (left: number): void => {
    if (left <= 0) {
      socket.end();
      return;
    }
    const length = Math.min(left, CHUNK_BYTES);
    const chunk = isPlain ? block.subarray(0, length) : randomBytes(length);
    digest.add(chunk);
    if (socket.write(chunk)) setImmediate(more, left - chunk.length);
    else socket.once('drain', () => more(left - chunk.length));
  };
  socket.on('connect', () => more(bytes));
}
