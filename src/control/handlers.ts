/**
 * How each kind of change is made, recognised and taken back.
 *
 * `apply` may be called again on a change that is there already, wholly or in part. `undo` takes
 * back only what is provably ours: an interface by its index and mark, an address or route by every
 * field, a sysctl only while it still holds our value.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { codeOf, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { equals } from '../net/prefix.ts';
import { DEVICE_QUEUE_PACKETS } from '../sys/tun.ts';
import type { Change } from './change.ts';
import type { Host, Tunnels } from './host.ts';
import type { Journal, Memo } from './journal.ts';
import { deviceMtuOf } from './link-spec.ts';
import { ROUTE_TABLE_MAIN, type SnapshotLink } from './snapshot.ts';

export type Context = {
  host: Host;
  tunnels: Tunnels;
  log: Log;
  /** The journals of the other links, for settings that fans share. */
  others(): Journal[];
};

type Of<K extends Change['kind']> = Extract<Change, { kind: K }>;

type Handler<C> = {
  /** Fills the memo before the change is journalled as `doing`. */
  prepare?(change: C, memo: Memo, context: Context): void;
  apply(change: C, memo: Memo, context: Context): Promise<void>;
  isPresent(change: C, memo: Memo, context: Context): Promise<boolean>;
  undo(change: C, memo: Memo, context: Context): Promise<void>;
};

/** Runs a deletion whose object may be gone already. */
async function unlessGone(deletion: Promise<void>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    const gone = ['ENODEV', 'EADDRNOTAVAIL', 'ESRCH', 'ENOENT', 'ENETDOWN', 'ENETUNREACH'];
    if (!gone.includes(codeOf(error))) throw error;
  }
}

async function unlessThere(addition: Promise<void>): Promise<void> {
  try {
    await addition;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Gives a device of ours its name back. Kernels before 6.2 rename only what is down. */
async function rename(host: Host, link: SnapshotLink, name: string): Promise<void> {
  if (link.name === name) return;
  try {
    await host.setLink(link.index, { name });
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw error;
    await host.setLink(link.index, { up: false });
    await host.setLink(link.index, { name });
    await host.setLink(link.index, { up: true });
  }
}

const sysctl: Handler<Of<'sysctl'>> = {
  prepare(change, memo, { host, others }) {
    const shared = others()
      .flatMap((journal) => journal.entries)
      .find((entry) => entry.change.kind === 'sysctl' && entry.change.key === change.key);
    memo.previous ??= shared?.memo.previous ?? host.readSysctl(change.key);
  },
  async apply(change, memo, { host, log }) {
    const now = host.readSysctl(change.key);
    if (now === change.value) return;
    // A kernel without IPv6 has no IPv6 settings.
    memo.foreign = now === null;
    if (now === null) return;
    try {
      host.writeSysctl(change.key, change.value);
    } catch (error) {
      // A read-only /proc/sys (containers) costs something, but not the overlay.
      memo.foreign = true;
      const key = change.key.replaceAll('/', '.');
      log.warn(
        'sysctl',
        `${key} stays ${now}: ${messageOf(error)}; set it to ${change.value} yourself, or traffic that this host must forward stays here`,
      );
    }
  },
  async isPresent(change, memo, { host }) {
    return memo.foreign === true || host.readSysctl(change.key) === change.value;
  },
  async undo(change, memo, { host, others }) {
    // What belongs to our own devices goes with them.
    if (!change.shared || memo.foreign === true) return;
    const needed = others().some((journal) =>
      journal.entries.some(
        (entry) =>
          entry.change.kind === 'sysctl' &&
          entry.change.key === change.key &&
          entry.state !== 'planned',
      ),
    );
    const previous = memo.previous;
    if (needed || previous === undefined || previous === null || previous === change.value) return;
    if (host.readSysctl(change.key) === change.value) host.writeSysctl(change.key, previous);
  },
};

const bridge: Handler<Of<'bridge'>> = {
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

const address: Handler<Of<'address'>> = {
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

const tunnel: Handler<Of<'tunnel'>> = {
  async apply(change, memo, { host, tunnels }) {
    const { spec, alias } = change;
    const known = (await host.links()).find((link) => link.index === memo.index);
    if (known === undefined) {
      // New, re-attached after a restart, or deleted by somebody while its sockets stayed.
      await tunnels.removeLink(spec.name);
      memo.index = (await tunnels.addLink(spec)).ifindex;
    } else {
      await rename(host, known, spec.device);
    }
    const index = memo.index ?? spec.device;
    const txQueueLen = DEVICE_QUEUE_PACKETS;
    await host.setLink(index, { alias, mtu: deviceMtuOf(spec), txQueueLen });
    await host.setLink(index, { up: true });
  },
  async isPresent(change, memo, { host }) {
    const link = (await host.links()).find((link) => link.index === memo.index);
    return link?.name === change.spec.device && link.up && link.mtu === deviceMtuOf(change.spec);
  },
  async undo(change, memo, { host, tunnels }) {
    const { spec, alias } = change;
    await tunnels.removeLink(spec.name);
    for (const link of await host.links()) {
      if (link.kind !== 'tun' || (link.name !== spec.device && link.index !== memo.index)) continue;
      // Killed between its making and its marking, the device has no alias and no known index.
      const ours = link.alias === alias || (link.alias === '' && memo.index === undefined);
      if (ours) await unlessGone(host.deleteLink(link.index));
    }
  },
};

const port: Handler<Of<'port'>> = {
  async apply(change, _memo, { host }) {
    await host.setLink(change.device, { master: change.bridge });
  },
  async isPresent(change, _memo, { host }) {
    const links = await host.links();
    const master = links.find((link) => link.name === change.bridge);
    return (
      master !== undefined &&
      links.find((link) => link.name === change.device)?.master === master.index
    );
  },
  async undo() {
    // The port goes with its device.
  },
};

const route: Handler<Of<'route'>> = {
  async apply(change, memo, context) {
    await unlessThere(context.host.addRoute(change));
    if (!(await route.isPresent(change, memo, context))) {
      throw new Error('another route to the overlay is there already');
    }
  },
  async isPresent(change, _memo, { host }) {
    const link = (await host.links()).find((link) => link.name === change.device);
    return (await host.routes()).some(
      (route) =>
        route.oif === link?.index &&
        route.table === ROUTE_TABLE_MAIN &&
        route.src === change.source &&
        equals(route.dst, change.destination),
    );
  },
  async undo(change, memo, context) {
    if (!(await route.isPresent(change, memo, context))) return;
    await unlessGone(context.host.deleteRoute(change));
  },
};

const masquerade: Handler<Of<'masquerade'>> = {
  async apply(change, _memo, { host }) {
    await host.addMasquerade(change);
  },
  async isPresent(change, _memo, { host }) {
    return host.hasMasquerade(change.link);
  },
  async undo(change, _memo, { host }) {
    if (host.hasNft()) await host.removeMasquerade(change.link);
  },
};

const dhcp: Handler<Of<'dhcp'>> = {
  async apply(change, memo, { host }) {
    // One left by a router that was killed is ended first: it would hold the port.
    await host.stopDhcp(change.dhcp.bridge, markOf(memo));
    const mark = await host.startDhcp(change.dhcp);
    memo.pid = mark.pid;
    memo.startTime = mark.startTime;
  },
  async isPresent(_change, memo, { host }) {
    const mark = markOf(memo);
    return mark !== undefined && host.isRunning(mark);
  },
  async undo(change, memo, { host }) {
    await host.stopDhcp(change.dhcp.bridge, markOf(memo));
  },
};

function markOf(memo: Memo): { pid: number; startTime: string } | undefined {
  if (memo.pid === undefined || memo.startTime === undefined) return undefined;
  return { pid: memo.pid, startTime: memo.startTime };
}

const handlers = { sysctl, bridge, address, tunnel, port, route, masquerade, dhcp };

/** The handler of a change, typed so that it takes that change. */
export function handlerOf(change: Change): Handler<Change> {
  return handlers[change.kind] as Handler<Change>;
}
