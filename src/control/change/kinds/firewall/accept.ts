/**
 * Letting a fan's packets through where iptables' FORWARD chain drops what it does not know: Docker
 * sets its policy so, and with br_netfilter even bridged packets pass it. An accept in a chain of
 * our own would not help, since every chain has to agree; so these rules go where they count, and
 * carry our name as their comment. Nothing is touched while the policy is accept.
 * @module
 */
import { checkDevice } from '../../../../sys/host/nft.ts';
import { acceptsDevice, isForwardDropping, whereToAccept } from '../../../host/forwarding.ts';
import type { Host } from '../../../host/host.ts';
import type { PacketFilter } from '../../../host/snapshot.ts';
import type { Kind } from '../kind.ts';

export type AcceptChange = {
  kind: 'accept';
  /** The bridge, and on routed fans the tunnel device. */
  devices: string[];
};

const COMMENT = 'fanway';
const DIRECTIONS = ['iifname', 'oifname'] as const;

type Lost = { chain: string; direction: (typeof DIRECTIONS)[number]; device: string };

function lost({ devices }: AcceptChange, filter: PacketFilter): Lost[] {
  if (!isForwardDropping(filter)) return [];
  const chain = whereToAccept(filter);
  return devices.flatMap((device) =>
    DIRECTIONS.filter((direction) => {
      return !filter.rules.some(
        (rule) =>
          rule.family === 'ip' &&
          rule.table === 'filter' &&
          rule.chain === chain &&
          acceptsDevice(rule, direction, device),
      );
    }).map((direction) => ({ chain, direction, device })),
  );
}

const described = ({ chain, direction, device }: Lost): string =>
  `${direction} "${device}" accept in chain ${chain}`;

/** Our own rules for these devices, in whichever chain of `ip filter` they are. */
async function ours({ devices }: AcceptChange, host: Host) {
  const { rules } = await host.packetFilter();
  return rules.filter(
    (rule) =>
      rule.family === 'ip' &&
      rule.table === 'filter' &&
      rule.comment === COMMENT &&
      devices.some((device) => DIRECTIONS.some((way) => acceptsDevice(rule, way, device))),
  );
}

export const accept: Kind<AcceptChange> = {
  fields: { devices: 'object' },
  isWhole: ({ devices }) =>
    Array.isArray(devices) && devices.every((device) => typeof device === 'string'),
  describe({ devices }) {
    return `let ${devices.join(' and ')} through chain FORWARD of table ip filter, whose policy is drop`;
  },
  async apply(change, _memo, { host }) {
    const rules = lost(change, await host.packetFilter()).map(
      ({ chain, direction, device }) =>
        // At the head: what comes later may drop.
        `insert rule ip filter ${chain} ${direction} "${checkDevice(device)}" counter accept comment "${COMMENT}"\n`,
    );
    if (rules.length > 0) await host.loadRules(rules.join(''));
  },
  async missing(change, _memo, { host }) {
    return lost(change, await host.packetFilter()).map(described);
  },
  async undo(change, _memo, { host }) {
    const rules = await ours(change, host);
    if (rules.length === 0 || !host.hasNft()) return;
    const lines = rules.map(
      ({ chain, handle }) => `delete rule ip filter ${chain} handle ${handle}\n`,
    );
    await host.loadRules(lines.join(''));
  },
};
