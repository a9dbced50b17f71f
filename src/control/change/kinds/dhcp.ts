/**
 * dnsmasq on the bridge, as a DHCP server for containers.
 * @module
 */
import { formatIpv4 } from '../../../net/ipv4.ts';
import type { DhcpSpec } from '../../host/host.ts';
import { hasFields } from '../../store/link-spec.ts';
import type { Kind } from './kind.ts';
import type { Memo } from './memo.ts';

const SPEC_FIELDS: Readonly<Record<keyof DhcpSpec, string>> = {
  bridge: 'string',
  gateway: 'number',
  first: 'number',
  last: 'number',
  length: 'number',
  mtu: 'number',
};

export type DhcpChange = { kind: 'dhcp'; dhcp: DhcpSpec };

export const dhcp: Kind<DhcpChange> = {
  fields: { dhcp: 'object' },
  isWhole: ({ dhcp }) => hasFields(dhcp, SPEC_FIELDS),
  describe({ dhcp }) {
    return `start dnsmasq on ${dhcp.bridge}: ${formatIpv4(dhcp.first)} to ${formatIpv4(dhcp.last)}, MTU ${dhcp.mtu}`;
  },
  async apply(change, memo, { host, log }) {
    // One left by a router that was killed is ended first: it would hold the port.
    await host.stopDhcp(change.dhcp.bridge, markOf(memo));
    const mark = await host.startDhcp(change.dhcp);
    memo.pid = mark.pid;
    memo.startTime = mark.startTime;
    memo.ranges = mark.ranges;
    if (mark.note !== '' && mark.note !== memo.note) log.warn(change.dhcp.bridge, mark.note);
    memo.note = mark.note;
  },
  async missing({ dhcp }, memo, { host }) {
    const mark = markOf(memo);
    const runs = mark !== undefined && host.isRunning(mark);
    if (!runs) return [`dnsmasq on ${dhcp.bridge}`];
    // A container engine has taken a part of the slice, or given one back.
    const isSame = memo.ranges === undefined || memo.ranges === host.dhcpRanges(dhcp);
    return isSame ? [] : [`the range of dnsmasq on ${dhcp.bridge}`];
  },
  async undo(change, memo, { host }) {
    await host.stopDhcp(change.dhcp.bridge, markOf(memo));
  },
};

function markOf(memo: Memo): { pid: number; startTime: string } | undefined {
  if (memo.pid === undefined || memo.startTime === undefined) return undefined;
  return { pid: memo.pid, startTime: memo.startTime };
}
