/**
 * The page's way to its router: calls by the contract of `api/`, and the stream of events. The token came
 * in the fragment of the address, which no browser sends anywhere.
 * @module
 */
import type { Call } from '../api/call.ts';
import { EVENTS_PATH, type RouterEvent, readEvent } from '../api/events.ts';

/** A line of events that is longer is none of ours. */
const LINE_CHARACTERS_MAX = 64 * 1024;

/** What the router answered instead. `refused`: it does not take our token (any more). */
export class RouterError extends Error {
  readonly refused: boolean;

  constructor(message: string, refused: boolean) {
    super(message);
    this.refused = refused;
  }
}

export class Client {
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = { ...init.headers, authorization: `Bearer ${this.#token}` };
    return fetch(path, { ...init, headers, cache: 'no-store', referrerPolicy: 'no-referrer' });
  }

  /** One call. @throws RouterError, ShapeError, TypeError when nobody is there. */
  async ask<Request, Answer>(
    call: Call<Request, Answer>,
    ...[body]: undefined extends Request ? [] : [Request]
  ): Promise<Answer> {
    const { method, path } = call;
    const json = { 'content-type': 'application/json' };
    const response = await this.#fetch(
      path,
      method === 'GET' ? { method } : { method, headers: json, body: JSON.stringify(body) },
    );
    const answer: unknown = await response.json();
    if (!response.ok) throw errorOf(response.status, answer);
    return call.answer(answer, '');
  }

  /**
   * Listens until the stream ends or `signal` says so. `begun` is called once nothing is missed.
   * @throws as {@link ask} does.
   */
  async follow(
    begun: () => void,
    event: (event: RouterEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const response = await this.#fetch(EVENTS_PATH, { signal });
    if (!response.ok || response.body === null) {
      throw errorOf(response.status, await response.json());
    }
    begun();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_CHARACTERS_MAX) throw new RouterError('a line without end', false);
      for (const line of lines) if (line !== '') event(readEvent(JSON.parse(line)));
    }
  }
}

function errorOf(status: number, answer: unknown): RouterError {
  const error = typeof answer === 'object' && answer !== null && 'error' in answer && answer.error;
  const told = typeof error === 'object' && error !== null && 'message' in error && error.message;
  const message = typeof told === 'string' ? told : `the router answered ${status}`;
  return new RouterError(message, status === 401 || status === 403);
}
