/**
 * A link that is asked for again while it is stopped.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import type { NetworkRequest } from '../../config/network.ts';
import type { ManagedLink } from './link.ts';
import type { Refusal } from './underlay/resolve.ts';

/**
 * Tries the link now that was asked for in these words and does not run; why it still does not, undefined where it
 * does or there is none.
 */
export async function stillStopped(
  links: readonly ManagedLink[],
  request: NetworkRequest,
  reconcile: (link: ManagedLink) => Promise<void>,
): Promise<{ outcome: 'refused'; refusals: Refusal[] } | undefined> {
  const isMeant = (one: ManagedLink): boolean => isDeepStrictEqual(one.request, request);
  const link = links.find((one) => one.state === 'stopped' && isMeant(one));
  if (link === undefined) return undefined;
  link.retryAtMs = 0;
  await reconcile(link);
  if (link.state !== 'stopped') return undefined;
  const message = `${request.network}: asked for already, and stopped: ${link.reason}`;
  return { outcome: 'refused', refusals: [{ code: 'stopped', message }] };
}
