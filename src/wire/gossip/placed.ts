/**
 * Items that may be at another tunnel endpoint than that of the node that announces them: those have one
 * field more, `host` (number 10, the last of a canonical map).
 * @module
 */
import { hostAddress } from './common.ts';
import type { Codec } from './fields.ts';
import type { GossipAddress } from './types.ts';

const HOST_FIELD = 10;

/** @param plain what such an item is without it; it passes fields by that it does not know */
export function placed<T extends { host?: GossipAddress }>(
  plain: Codec<Omit<T, 'host'>>,
): Codec<T> {
  return {
    encode({ host, ...rest }) {
      const fields = plain.encode(rest);
      if (host !== undefined && fields instanceof Map) {
        fields.set(HOST_FIELD, hostAddress.encode(host));
      }
      return fields;
    },
    decode(value) {
      const item = plain.decode(value);
      const host = value instanceof Map ? value.get(HOST_FIELD) : undefined;
      return (host === undefined ? item : { ...item, host: hostAddress.decode(host) }) as T;
    },
  };
}
