/**
 * An IPv4 address of this host on a device of ours.
 * @module
 */
import { formatIpv4 } from '../../../net/ipv4.ts';
import { type Kind, unlessGone, unlessThere } from '../kind.ts';

export type AddressChange = { kind: 'address'; device: string; address: number; length: number };

export const address: Kind<AddressChange> = {
  fields: { device: 'string', address: 'number', length: 'number' },
  describe({ address, length, device }) {
    return `add address ${formatIpv4(address)}/${length} to ${device}`;
  },
  async apply(change, _memo, { host }) {
    await unlessThere(host.addAddress(change.device, change.address, change.length));
  },
  async isPresent(change, _memo, { host }) {
    const link = (await host.links()).find((link) => link.name === change.device);
    return (await host.addresses()).some(
      (address) =>
        address.index === link?.index &&
        address.address === change.address &&
        address.length === change.length,
    );
  },
  async undo(change, _memo, { host }) {
    const link = (await host.links()).find((link) => link.name === change.device);
    if (link?.alias.startsWith('fanway:') !== true) return;
    await unlessGone(host.deleteAddress(change.device, change.address, change.length));
  },
};
