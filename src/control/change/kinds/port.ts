/**
 * The tunnel device as a port of the bridge.
 * @module
 */
import type { Kind } from './kind.ts';

export type PortChange = { kind: 'port'; device: string; bridge: string };

export const port: Kind<PortChange> = {
  fields: { device: 'string', bridge: 'string' },
  describe({ device, bridge }) {
    return `make ${device} a port of ${bridge}`;
  },
  async apply(change, _memo, { host }) {
    await host.setLink(change.device, { master: change.bridge });
  },
  async missing({ device, bridge }, _memo, { host }) {
    const links = await host.links();
    const master = links.find((link) => link.name === bridge);
    const at = links.find((link) => link.name === device)?.master;
    return master !== undefined && at === master.index ? [] : [`${device} as a port of ${bridge}`];
  },
  async undo() {
    // The port goes with its device.
  },
};
