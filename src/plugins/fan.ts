/**
 * The fan that a container engine is to use, asked of the router that runs, and what every engine
 * has to know of it.
 * @module
 */

import { fansCall } from '../api/fans.ts';
import { ask } from '../control/admin/admin-client.ts';
import { addressLengthOf } from '../control/host/bridge/adoption.ts';
import type { FanRecord } from '../control/host/snapshot.ts';
import type { RunDirectory } from '../control/store/run-directory.ts';
import { refusedError, usageError } from '../errors.ts';
import { hasIpv4 } from '../net/fan.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { broadcastOf, formatPrefix, networkOf, type Prefix } from '../net/prefix.ts';

/** A fan as containers see it. Addresses are u32. */
export type EngineFan = {
  /** The bridge, which is the fan's name. */
  bridge: string;
  /** Tunnel device: packets of a routed fan come in by it. */
  device: string;
  overlay: Prefix;
  slice: Prefix;
  /** The network that a container's address is in: the overlay where it is bridged, else the slice. */
  network: Prefix;
  bridged: boolean;
  gateway: number;
  /** The host's own addresses, the gateway first. */
  reserved: number[];
  /** What containers may have: neither the host's nor the slice's first and last address. */
  first: number;
  last: number;
  /** Bytes. */
  mtu: number;
  dhcp: boolean;
};

/** What a fan record says to engines. */
export function engineFanOf({ request, spec }: FanRecord): EngineFan {
  const length = addressLengthOf(spec);
  const { gateway, slice, overlay } = spec;
  return {
    ...{ bridge: spec.name, device: spec.device, overlay, slice, gateway },
    network: { address: networkOf({ address: slice.address, length }), length },
    bridged: length === overlay.length,
    reserved: Array.from({ length: request.hostReserve }, (_, at) => (gateway + at) >>> 0),
    first: (gateway + request.hostReserve) >>> 0,
    last: broadcastOf(slice) - 1,
    mtu: spec.innerMtu,
    dhcp: request.dhcp,
  };
}

/**
 * The fan with a bridge of this name, or the only one.
 * @throws FanwayError when no router runs, or none or several fans could be meant.
 */
export async function findFan(run: RunDirectory, bridge?: string): Promise<EngineFan> {
  // Engines give their containers IPv4 addresses; those of IPv6 are announced on the bridge.
  const records = (await ask(run, fansCall)).filter(({ spec }) => hasIpv4(spec.overlay));
  const names = records.map(({ spec }) => `${spec.name} (${formatPrefix(spec.overlay)})`);
  const meant = records.filter(({ spec }) => bridge === undefined || spec.name === bridge);
  const [found, ...others] = meant;
  if (found === undefined) {
    throw refusedError(
      'no-fan',
      bridge === undefined
        ? 'no fan is up here: fanway up brings one up'
        : `no fan has the bridge ${bridge}; there is ${names.join(', ') || 'none'}`,
    );
  }
  if (others.length > 0) {
    throw usageError(
      'which-fan',
      `several fans are up: name one by its bridge: ${names.join(', ')}`,
    );
  }
  if (found.spec.local === 0) {
    throw refusedError(
      'fan-stopped',
      `${found.spec.name} is not up just now: fanway status says why`,
    );
  }
  return engineFanOf(found);
}

/** `250.0.28.2`, for messages and files. */
export const text = formatIpv4;
