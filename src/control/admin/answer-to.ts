/**
 * The router's end of a call: what comes in is read by the contract, what goes out is of its type.
 * @module
 */
import type { Call } from '../../api/call.ts';
import { ShapeError } from '../../api/reader.ts';
import { usageError } from '../../errors.ts';
import type { Route } from './admin.ts';

/** A route for `call`; a request that is not what it should be is refused with exit code 2. */
export function answerTo<Request, Answer>(
  call: Call<Request, Answer>,
  handle: (request: Request) => Answer | Promise<Answer>,
): Route {
  const { method, path } = call;
  const read = (body: unknown): Request => {
    try {
      return call.request(body, '');
    } catch (error) {
      if (error instanceof ShapeError) throw usageError('bad-request', error.message.trim());
      throw error;
    }
  };
  return { method, path, handle: async (body) => handle(read(body)) };
}
