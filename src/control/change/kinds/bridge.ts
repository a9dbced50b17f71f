/**
 * A fan's bridge, made under a name of its own until it carries our mark.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { formatMac } from '../../../net/mac.ts';
import { type Kind, rename, unlessGone } from '../kind.ts';

export type BridgeChange = {
  kind: 'bridge';
  name: string;
  alias: string;
  mac: number;
  mtu: number;
};

export const bridge: Kind<BridgeChange> = {
  fields: { name: 'string', alias: 'string', mac: 'number', mtu: 'number' },
  describe({ name, mtu, mac }) {
    return `create bridge ${name}, MTU ${mtu}, MAC ${formatMac(mac)}`;
  },
  prepare(_change, memo) {
    // Until it carries our mark it bears a name that nobody else can have given.
    memo.temporaryName ??= `fwt${randomBytes(5).toString('hex')}`;
  },
  async apply(change, memo, { host }) {
    const links = await host.links();
    let link = links.find((link) => link.index === memo.index && link.alias === change.alias);
    link ??= links.find((link) => link.name === change.name && link.alias === change.alias);
    const temporaryName = memo.temporaryName ?? change.name;
    link ??= links.find((link) => link.name === temporaryName);
    if (link === undefined) {
      await host.createBridge(temporaryName, change.mac);
      link = (await host.links()).find((link) => link.name === temporaryName);
      if (link === undefined) throw new Error(`bridge ${temporaryName} vanished as it was made`);
    }
    if (link.alias !== change.alias) await host.setLink(link.index, { alias: change.alias });
    memo.index = link.index;
    await rename(host, link, change.name);
    // Set even when it looks right: a bridge whose MTU nobody set takes its ports'.
    await host.setLink(link.index, { mtu: change.mtu });
    await host.setLink(link.index, { up: true });
  },
  async isPresent(change, memo, { host }) {
    const link = (await host.links()).find((link) => link.index === memo.index);
    return link?.name === change.name && link.up && link.mtu === change.mtu;
  },
  async undo(change, memo, { host, log }) {
    for (const link of await host.links()) {
      const ours =
        link.name === memo.temporaryName ||
        (link.alias === change.alias && (link.index === memo.index || link.name === change.name));
      if (ours && link.kind === 'bridge') await unlessGone(host.deleteLink(link.index));
      else if (link.name === change.name) {
        log.warn('leftover', `${change.name} is not ours any more (its mark is gone): left alone`);
      }
    }
  },
};
