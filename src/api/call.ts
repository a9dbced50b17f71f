/**
 * One call of the admin socket, as both ends have it: a path, how its request is read, how its answer
 * is. The router takes nothing that the reader refuses, a command believes nothing that it refuses.
 * @module
 */
import type { Reader } from './reader.ts';

export type Call<Request, Answer> = {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly request: Reader<Request>;
  readonly answer: Reader<Answer>;
};

/** A call without a body. */
export function get<Answer>(path: string, answer: Reader<Answer>): Call<undefined, Answer> {
  return { method: 'GET', path, request: () => undefined, answer };
}

/** A call with a JSON body. */
export function post<Request, Answer>(
  path: string,
  request: Reader<Request>,
  answer: Reader<Answer>,
): Call<Request, Answer> {
  return { method: 'POST', path, request, answer };
}
