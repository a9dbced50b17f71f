/**
 * A fan's bridge, made under a name of its own until it carries our mark.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { formatMac } from '../../../net/mac.ts';
import { SysctlError } from '../../../sys/sysctl.ts';
import type { Host } from '../../host.ts';
import type { SnapshotLink } from '../../snapshot.ts';
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
    const ours = ({ index, kind, alias, address }: SnapshotLink): boolean =>
      // A mark that somebody took away is put back where the index and the MAC speak for it.
      index === memo.index &&
      kind === 'bridge' &&
      (alias === change.alias || address === change.mac);
    let link = links.find(ours);
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
    if (link.address !== change.mac) await host.setLink(link.index, { address: change.mac });
    // Set even when it looks right: a bridge whose MTU nobody set takes its ports'.
    await host.setLink(link.index, { mtu: change.mtu });
    // An interface that comes up gives itself an IPv6 address at once, and listens to routers.
    for (const [key, value] of ipv6Closed(change.name)) {
      if ((host.readSysctl(key) ?? value) !== value) tryWrite(host, key, value);
    }
    await host.setLink(link.index, { up: true });
    if (!(await host.hasOwnMac(link.index, change.mac))) {
      await host.addOwnMac(link.index, change.mac);
    }
  },
  async missing(change, memo, { host }) {
    const { name, mac, mtu, alias } = change;
    const link = (await host.links()).find((link) => link.index === memo.index);
    if (link === undefined) return [`bridge ${name}`];
    const lost: string[] = [];
    if (link.name !== name) lost.push(`name of ${name} (was ${link.name})`);
    if (link.alias !== alias) lost.push(`mark of ${name}`);
    if (!link.up) lost.push(`${name} being up`);
    if (link.mtu !== mtu) lost.push(`MTU ${mtu} of ${name} (was ${link.mtu})`);
    if (link.address !== mac) {
      lost.push(`MAC ${formatMac(mac)} of ${name} (was ${formatMac(link.address)})`);
    } else if (!(await host.hasOwnMac(link.index, mac))) {
      // Without it the bridge floods what is for the gateway, and hands none of it to the host.
      lost.push(`forwarding entry of ${name}'s own MAC ${formatMac(mac)}`);
    }
    return lost;
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

/**
 * What keeps IPv6 of a device closed until somebody gives it an address: no address of its own
 * making, none from a router's advertisement, and no route either. Containers on the bridge may
 * speak IPv6 to each other all the same.
 */
export function ipv6Closed(device: string): [key: string, value: string][] {
  const key = (name: string): string => `net/ipv6/conf/${device}/${name}`;
  return [
    [key('accept_ra'), '0'],
    [key('autoconf'), '0'],
    // IN6_ADDR_GEN_MODE_NONE: no link-local address either.
    [key('addr_gen_mode'), '1'],
  ];
}

/** The change of kind sysctl that follows says so when it cannot be written. */
function tryWrite(host: Host, key: string, value: string): void {
  try {
    host.writeSysctl(key, value);
  } catch (error) {
    if (!(error instanceof SysctlError)) throw error;
  }
}
