/**
 * An IPv6 route out of a device of ours, without a gateway: the overlay, or a slice on its bridge.
 * @module
 */
import { formatPrefix6, type Prefix6 } from '../../../net/prefix6.ts';
import { type Kind, unlessGone, unlessThere } from './kind.ts';

export type Route6Change = { kind: 'route6'; destination: Prefix6; device: string };

export const route6: Kind<Route6Change> = {
  fields: { destination: 'object', device: 'string' },
  describe({ destination, device }) {
    return `add route ${formatPrefix6(destination)} dev ${device}`;
  },
  async apply(change, memo, context) {
    await unlessThere(context.host.addRoute6(change));
    if ((await route6.missing(change, memo, context)).length > 0) {
      throw new Error('another route there is in the way');
    }
  },
  async missing(change, _memo, { host }) {
    const isThere = await host.hasRoute6(change);
    return isThere ? [] : [`route ${formatPrefix6(change.destination)} dev ${change.device}`];
  },
  async undo(change, memo, context) {
    if ((await route6.missing(change, memo, context)).length > 0) return;
    await unlessGone(context.host.deleteRoute6(change));
  },
};
