/**
 * The list of changes that make a fan, in order. A pure function of what was asked for, of where
 * this host is on the underlay, and of what the host is like.
 * @module
 */

import type { FanRequest } from '../../config/request.ts';
import { carriesFrames } from '../../encap/encap.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { broadcastOf } from '../../net/prefix.ts';
import { equals6, isSameAddress6 } from '../../net/prefix6.ts';
import { lastWordOf } from '../../net/underlay-address.ts';
import type { Change } from '../change/change.ts';
import { ipv6Closed } from '../change/kinds/bridge.ts';
import {
  type AddressMark,
  type Adoption,
  addressLengthOf,
  isSame,
} from '../host/bridge/adoption.ts';
import { forwardingDevices, isForwardDropping, isTranslating } from '../host/forwarding.ts';
import { aliasOf, borrowedAliasOf, type Snapshot } from '../host/snapshot.ts';
import type { LinkSpec } from '../store/link-spec.ts';

import { borrowedMacOf } from './beside.ts';
import { changesOf6 } from './six.ts';

/** Locally administered, then a mark, then the gateway's four bytes: one for each host. */
const BRIDGE_MAC_PREFIX = 0x02fa_0000_0000;

/** This host's own addresses on the bridge. */
export function addressesOf(request: FanRequest, spec: LinkSpec): AddressMark[] {
  if (!hasIpv4(spec.overlay)) return [];
  const length = addressLengthOf(spec);
  return Array.from({ length: request.hostReserve }, (_, index) => {
    return { address: (spec.gateway + index) >>> 0, length };
  });
}

/** The changes in the order they are made; undone in reverse. */
export function changesOf(
  request: FanRequest,
  spec: LinkSpec,
  snapshot: Snapshot,
  adoption?: Adoption,
): Change[] {
  const { name, device, slice, gateway, overlay, innerMtu: mtu } = spec;
  // Without IPv4 there is no gateway to make it of: the underlay address is as much our own.
  const ownMac = BRIDGE_MAC_PREFIX + (hasIpv4(overlay) ? gateway : lastWordOf(spec.local));
  const alias = aliasOf(name);
  if (spec.owned === true) return [{ kind: 'tunnel', spec, alias }];
  const theirs = adoption?.foreign === true;
  const bridged = carriesFrames(spec.encap);
  const length = addressLengthOf(spec);
  const conf = (dev: string, key: string): string => `net/ipv4/conf/${dev}/${key}`;
  const changes: Change[] = [
    { kind: 'sysctl', key: 'net/ipv4/ip_forward', value: '1', shared: true },
    {
      ...{ kind: 'bridge', name, mtu },
      // What containers know of somebody else's is fixed; ours follows the slice.
      mac: theirs ? adoption.mac : ownMac,
      alias: theirs ? borrowedAliasOf(name) : alias,
      ...(adoption !== undefined && { adopt: adoption }),
    },
    // Loose (2) on our device wins over strict (1) on `all`, which therefore stays as it is.
    { kind: 'sysctl', key: conf(name, 'rp_filter'), value: '2', shared: false },
    // Born as `conf.default` says, whatever `ip_forward` is.
    { kind: 'sysctl', key: conf(name, 'forwarding'), value: '1', shared: false },
    // With it the host would claim every address of the network for itself.
    { kind: 'sysctl', key: conf(name, 'proxy_arp_pvlan'), value: '0', shared: false },
    ...ipv6Closed(name).map(
      ([key, value]): Change => ({ kind: 'sysctl', key, value, shared: false }),
    ),
  ];
  if (bridged) {
    // A container with the slice's mask sends through the gateway, out of the port it came in by:
    // a redirect would tell it to ARP for what it cannot. The kernel ORs `all` with the device.
    changes.push(
      { kind: 'sysctl', key: conf('all', 'send_redirects'), value: '0', shared: true },
      { kind: 'sysctl', key: conf(name, 'send_redirects'), value: '0', shared: false },
    );
  }
  const addresses = addressesOf(request, spec).map((mark): Change => {
    const change = { kind: 'address', device: name, ...mark } as const;
    if (adoption === undefined || !theirs) return change;
    const there = adoption.there.some((one) => isSame(one, mark));
    return { ...change, borrowed: there ? 'there' : 'device' };
  });
  // A route may name the gateway as its source only once the address is there.
  if (!bridged) changes.push(...addresses);
  changes.push({ kind: 'tunnel', spec, alias });
  if (bridged || spec.six === undefined) {
    // Nothing that the device itself would say in IPv6 could arrive anywhere.
    const key = `net/ipv6/conf/${device}/disable_ipv6`;
    changes.push({ kind: 'sysctl', key, value: '1', shared: false });
  }
  if (bridged) {
    // The overlay is on-link from the address on. Were the port not there yet, an ARP request
    // would be lost and the next come a second later.
    changes.push({ kind: 'port', device, bridge: name }, ...addresses);
  } else {
    changes.push(
      { kind: 'sysctl', key: conf(device, 'rp_filter'), value: '2', shared: false },
      { kind: 'sysctl', key: conf(device, 'forwarding'), value: '1', shared: false },
      ...(hasIpv4(overlay)
        ? [{ kind: 'route', destination: overlay, device, source: gateway } as const]
        : []),
    );
  }
  const theirMac = theirs ? adoption.mac : borrowedMacOf(spec, snapshot);
  changes.push(...changesOf6(spec, theirMac ?? ownMac));
  changes.push(...filterChanges(request, spec, snapshot));
  if (request.dhcp) {
    changes.push({
      kind: 'dhcp',
      dhcp: {
        bridge: name,
        gateway,
        first: (gateway + request.hostReserve) >>> 0,
        last: broadcastOf(slice) - 1,
        length,
        mtu,
      },
    });
  }
  return changes;
}

/** What takes rules of nftables. */
function filterChanges(request: FanRequest, spec: LinkSpec, snapshot: Snapshot): Change[] {
  if (!snapshot.tools.nft) return [];
  const { name: link, name: bridge, device, encap, slice, overlay, local, port, gateway } = spec;
  const changes: Change[] = [];
  // Without any translation here the kernel need not track packets, which is faster.
  const masquerade = request.masquerade && hasIpv4(overlay);
  if (hasIpv4(overlay) && (masquerade || isTranslating(snapshot))) {
    changes.push({ kind: 'keep', link, encap, local, port, slice, overlay });
  }
  if (masquerade) {
    changes.push(
      { kind: 'masquerade', link, slice, overlay, bridge },
      {
        ...{ kind: 'inward', link, slice, overlay, gateway },
        device: carriesFrames(encap) ? bridge : device,
      },
    );
  }
  changes.push({ kind: 'guard', link, bridge });
  if (isForwardDropping(snapshot.filter)) {
    changes.push({ kind: 'accept', devices: forwardingDevices(spec) });
  }
  return changes;
}

/** Whether two changes are about the same thing of one link, perhaps with other values. */
export function isSameThing(a: Change, b: Change): boolean {
  if (a.kind === 'sysctl') return b.kind === 'sysctl' && a.key === b.key;
  if (a.kind === 'address') return b.kind === 'address' && a.address === b.address;
  if (a.kind === 'address6') {
    return b.kind === 'address6' && isSameAddress6(a.address, b.address);
  }
  if (a.kind === 'route6') {
    const isSame = b.kind === 'route6' && a.device === b.device;
    return isSame && equals6(a.destination, b.destination);
  }
  return a.kind === b.kind;
}
