/** Small transfers by child processes, since this process cannot be in two namespaces. @module */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Place } from '../../src/traffic/run.ts';

const FETCH = `
  const hash = require('crypto').createHash('sha256');
  let bytes = 0;
  require('http').get(process.argv[1], (answer) => {
    answer.on('data', (chunk) => { hash.update(chunk); bytes += chunk.length; });
    answer.on('end', () => console.log(JSON.stringify({ bytes, sha256: hash.digest('hex') })));
  });
`;
const SERVE = `
  const crypto = require('crypto');
  const [address, port, bytes] = process.argv.slice(1);
  const content = crypto.randomBytes(Number(bytes));
  const server = require('http').createServer((request, answer) => answer.end(content));
  server.listen(Number(port), address, () => console.log(crypto.createHash('sha256').update(content).digest('hex')));
  process.stdin.on('end', () => process.exit()).resume();
`;
const DATAGRAMS = `
  const crypto = require('crypto');
  const [address, port, bytes] = process.argv.slice(1);
  const hash = crypto.createHash('sha256');
  const socket = require('dgram').createSocket('udp4');
  let left = Number(bytes);
  const next = () => {
    if (left <= 0) return socket.close(() => console.log(hash.digest('hex')));
    const chunk = crypto.randomBytes(Math.min(1400, left));
    hash.update(chunk);
    left -= chunk.length;
    socket.send(chunk, Number(port), address, () => setTimeout(next, 1));
  };
  next();
`;
const ANSWER_MS_MAX = 120_000;

function start(place: Place, script: string, args: readonly string[]): ChildProcess {
  return place.spawn(process.execPath, ['-e', script, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) throw new TypeError('standard output is piped');
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
    }, ANSWER_MS_MAX);
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      // After whatever it wrote before.
      setImmediate(() => reject(new Error(`the HTTP program ended: ${signal ?? `exit ${code}`}`)));
    });
  });
}

/** Fetches `url` from `place`. @throws Error when it fails or takes longer than 20 s. */
export async function fetchSha256(
  place: Place,
  url: string,
): Promise<{ bytes: number; sha256: string }> {
  const child = start(place, FETCH, [url]);
  return JSON.parse(await firstLine(child)) as { bytes: number; sha256: string };
}

/** Serves random bytes to whoever asks until `close`. */
export async function serveBytes(
  place: Place,
  address: string,
  port: number,
  bytes: number,
): Promise<{ sha256: string; close(): void }> {
  const child = start(place, SERVE, [address, String(port), String(bytes)]);
  const sha256 = await firstLine(child);
  return { sha256, close: () => child.stdin?.end() };
}

/** Sends random datagrams, a millisecond apart; returns the SHA-256 of all payloads in order. */
export function sendDatagrams(
  place: Place,
  address: string,
  port: number,
  bytes: number,
): Promise<string> {
  return firstLine(start(place, DATAGRAMS, [address, String(port), String(bytes)]));
}
