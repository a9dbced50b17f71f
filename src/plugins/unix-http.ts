/**
 * HTTP with JSON over a unix socket: how container engines of this host are spoken to.
 * @module
 */
import { request } from 'node:http';

const ANSWER_BYTES_MAX = 8 << 20;
/** A daemon that starts answers only once it has restored its containers. */
const ANSWER_TIMEOUT_MS = 30_000;

/** `body` is the parsed JSON; undefined where there is none. */
export type HttpAnswer = { status: number; body: unknown };
/** `host`: the header, which means nothing on such a socket and has to be there. */
type Question = { method: string; path: string; body?: unknown; host: string };

/** A field of whatever came over the socket. */
export function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

/** One call. @throws Error of the system's when nobody answers, or what answers is no JSON */
export function callSocket(socketPath: string, question: Question): Promise<HttpAnswer> {
  const { method, path, body, host } = question;
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      host,
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const outgoing = request(
      { socketPath, path, method, headers, agent: false, timeout: ANSWER_TIMEOUT_MS },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > ANSWER_BYTES_MAX) outgoing.destroy(new Error('its answer is too large'));
          else chunks.push(chunk);
        });
        response.on('end', () => {
          const answer = Buffer.concat(chunks).toString('utf8');
          try {
            const value: unknown = answer.trim() === '' ? undefined : JSON.parse(answer);
            resolve({ status: response.statusCode ?? 0, body: value });
          } catch {
            reject(new Error('its answer is no JSON'));
          }
        });
        response.on('error', reject);
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('it does not answer')));
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}
