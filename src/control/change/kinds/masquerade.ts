/**
 * Masquerading of containers to everywhere but the overlay, in a table of the link's own.
 * @module
 */
import { formatPrefix, type Prefix } from '../../../net/prefix.ts';
import type { Kind } from '../kind.ts';

export type MasqueradeChange = {
  kind: 'masquerade';
  link: string;
  slice: Prefix;
  overlay: Prefix;
  bridge: string;
};

export const masquerade: Kind<MasqueradeChange> = {
  fields: { link: 'string', slice: 'object', overlay: 'object', bridge: 'string' },
  describe({ slice, overlay }) {
    return `masquerade ${formatPrefix(slice)} to everywhere but ${formatPrefix(overlay)}`;
  },
  async apply(change, _memo, { host }) {
    await host.addMasquerade(change);
  },
  async missing(change, _memo, { host }) {
    const isThere = await host.hasMasquerade(change.link);
    return isThere ? [] : [`masquerading of ${formatPrefix(change.slice)}`];
  },
  async undo(change, _memo, { host }) {
    if (host.hasNft()) await host.removeMasquerade(change.link);
  },
};
