/**
 * A fan's bridge, made under a name of its own until it carries our mark.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { formatMac } from '../../../net/mac.ts';
import { SysctlError } from '../../../sys/host/sysctl.ts';
import type { Adoption } from '../../host/bridge/adoption.ts';
import { namesOf } from '../../host/bridge/bridge-ports.ts';
import type { Host } from '../../host/host.ts';
import { portsBeside, type SnapshotLink } from '../../host/snapshot.ts';
import { type Context, type Kind, rename, unlessGone } from './kind.ts';
import type { Memo } from './memo.ts';

export type BridgeChange = {
  kind: 'bridge';
  name: string;
  alias: string;
  mac: number;
  mtu: number;
  /** A bridge that is there already becomes this one, with its ports. */
  adopt?: Adoption;
};

export const bridge: Kind<BridgeChange> = {
  fields: { name: 'string', alias: 'string', mac: 'number', mtu: 'number' },
  describe({ name, mtu, mac, adopt }) {
    if (adopt !== undefined) {
      const whose = adopt.foreign ? 'which somebody else made' : 'which was kept for its ports';
      const how = adopt.name === name ? '' : ` as ${name}`;
      return `take over bridge ${adopt.name}${how}, ${whose}, MTU ${mtu}`;
    }
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
    // Once it is ours, one that somebody deleted is made anew.
    if (memo.index === undefined && change.adopt !== undefined) {
      const { name } = change.adopt;
      link ??= links.find((link) => link.name === name && link.kind === 'bridge');
      if (link !== undefined) await takeOver(link, change, change.adopt, host);
    }
    if (link === undefined) {
      // Also where somebody deleted one that was not ours: this one is.
      memo.made = true;
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
    const links = await host.links();
    for (const link of links) {
      const ours =
        link.name === memo.temporaryName ||
        (link.alias === change.alias &&
          (link.index === memo.index || [change.name, change.adopt?.name].includes(link.name)));
      if (ours && link.kind === 'bridge')
        await giveUp(link, { change, memo }, links, { host, log });
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

/** Makes a bridge with its ports this link's. */
async function takeOver(
  link: SnapshotLink,
  { alias, mac }: BridgeChange,
  { stale }: Adoption,
  host: Host,
): Promise<void> {
  // Also where it has this one: a bridge whose MAC nobody set takes that of a port.
  await host.setLink(link.index, { address: mac });
  for (const { address, length } of stale) {
    await unlessGone(host.deleteAddress(link.name, address, length));
  }
  await host.setLink(link.index, { alias });
}

/** Deletes a bridge of ours, unless it is not: somebody else made it, or has ports on it. */
async function giveUp(
  link: SnapshotLink,
  { change, memo }: { change: BridgeChange; memo: Memo },
  links: readonly SnapshotLink[],
  { host, log }: Pick<Context, 'host' | 'log'>,
): Promise<void> {
  if (change.adopt?.foreign === true && memo.made !== true) {
    await host.setLink(link.index, { alias: '' });
    return;
  }
  const ports = portsBeside(link, links);
  if (ports.length === 0) {
    await unlessGone(host.deleteLink(link.index));
    return;
  }
  log.warn(
    'kept',
    `bridge ${link.name} stays for its ports ${namesOf(ports)}: cut off from other hosts until it is used again`,
  );
}
