/**
 * An IPv6 address of this host on a device of ours. It brings no route: a fan's routes are changes of
 * their own, so that whoever deletes one is seen.
 * @module
 */
import { formatPrefix6, type Ipv6, isSameAddress6 } from '../../../net/prefix6.ts';
import { isMarked } from '../../host/snapshot.ts';
import { type Kind, unlessGone, unlessThere } from './kind.ts';

export type Address6Change = { kind: 'address6'; device: string; address: Ipv6; length: number };

export const address6: Kind<Address6Change> = {
  fields: { device: 'string', address: 'object', length: 'number' },
  describe({ address, length, device }) {
    return `add address ${formatPrefix6({ address, length })} to ${device}`;
  },
  async apply({ device, address, length }, _memo, { host }) {
    await unlessThere(host.addAddress6(device, address, length));
  },
  async missing({ device, address, length }, _memo, { host }) {
    const link = (await host.links()).find(({ name }) => name === device);
    const found = (await host.addresses6()).some(
      (one) =>
        one.index === link?.index && one.length === length && isSameAddress6(one.address, address),
    );
    return found ? [] : [`address ${formatPrefix6({ address, length })} of ${device}`];
  },
  async undo({ device, address, length }, _memo, { host }) {
    const link = (await host.links()).find(({ name }) => name === device);
    if (link === undefined || !isMarked(link)) return;
    // Also from a bridge that stays for its ports: they have heard that it is no router any more.
    await unlessGone(host.deleteAddress6(device, address, length));
  },
};
