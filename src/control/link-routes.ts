/**
 * The admin socket's part for links: which fans there are, and how they come and go.
 * @module
 */
import { downCall, endIfIdleCall, fansCall, reloadCall, upCall } from '../api/fans.ts';
import { usageError } from '../errors.ts';
import type { Route } from './admin/admin.ts';
import { answerTo } from './admin/answer-to.ts';
import type { Router } from './links/router.ts';

/**
 * @param endIfIdle ends a router that has nothing left to do; true when it ends
 * @param reload reads the configuration file again, where there is one
 */
export function linkRoutes(
  router: Router,
  endIfIdle: () => boolean,
  reload: (() => Promise<string>) | undefined,
): Route[] {
  return [
    answerTo(fansCall, () => router.fans),
    answerTo(upCall, ({ request }) => router.up(request)),
    answerTo(downCall, async ({ name, ...how }) => {
      const down = await router.down(name, how);
      endIfIdle();
      return down;
    }),
    answerTo(endIfIdleCall, () => ({ ending: endIfIdle() })),
    answerTo(reloadCall, async () => {
      if (reload === undefined) {
        throw usageError('no-config', 'this router has no configuration file to read again');
      }
      return { message: await reload() };
    }),
  ];
}
