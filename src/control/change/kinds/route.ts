/**
 * The route to the overlay through the tunnel.
 * @module
 */
import { formatIpv4 } from '../../../net/ipv4.ts';
import { formatPrefix, type Prefix } from '../../../net/prefix.ts';
import { type Kind, unlessGone, unlessThere } from './kind.ts';

export type RouteChange = { kind: 'route'; destination: Prefix; device: string; source: number };

export const route: Kind<RouteChange> = {
  fields: { destination: 'object', device: 'string', source: 'number' },
  describe({ destination, device, source }) {
    return `add route ${formatPrefix(destination)} dev ${device} src ${formatIpv4(source)}`;
  },
  async apply(change, memo, context) {
    await unlessThere(context.host.addRoute(change));
    if ((await route.missing(change, memo, context)).length > 0) {
      throw new Error('another route to the overlay is there already');
    }
  },
  async missing(change, _memo, { host }) {
    const isThere = await host.hasRoute({ ...change, type: 'unicast' });
    return isThere ? [] : [`route ${formatPrefix(change.destination)} dev ${change.device}`];
  },
  async undo(change, memo, context) {
    if ((await route.missing(change, memo, context)).length > 0) return;
    await unlessGone(context.host.deleteRoute(change));
  },
};
