/**
 * The fan that a container engine is to use, asked of the router that runs, and what every engine
 * has to know of it.
 * @module
 */

import { fansCall } from '../api/fans.ts';
import { type IpamJson, ipamCall } from '../api/network/ipam.ts';
import { ask } from '../control/admin/admin-client.ts';
import { addressLengthOf } from '../control/host/bridge/adoption.ts';
import type { FanRecord } from '../control/host/snapshot.ts';
import type { RunDirectory } from '../control/store/run-directory.ts';
import { codeOf, refusedError, usageError } from '../errors.ts';
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
  /** 0 = there is none: a layer-2 network leads nowhere else by itself. */
  gateway: number;
  /** The host's own addresses, the gateway first. */
  reserved: number[];
  /** What containers may have: neither the host's nor the slice's first and last address. */
  first: number;
  last: number;
  /** Bytes. */
  mtu: number;
  dhcp: boolean;
  /** Addresses that somebody is known to have, wherever; absent = nobody knows. */
  busy?: readonly number[];
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

/** What a layer-2 network that hands out addresses is to engines. @throws FanwayError when others do the same */
export function engineNetworkOf({ prefix, slice, conflicts, ...network }: IpamJson): EngineFan {
  const [conflict] = conflicts;
  if (conflict !== undefined) throw refusedError('ipam-conflict', conflict);
  const { bridge, device, mtu, gateway, inUse } = network;
  return {
    ...{ bridge, device, overlay: prefix, slice, network: prefix, bridged: true, gateway },
    ...{ reserved: [], mtu, dhcp: false, busy: inUse },
    // The first and the last address of the whole prefix are nobody's.
    first: Math.max(networkOf(slice), networkOf(prefix) + 1),
    last: Math.min(broadcastOf(slice), broadcastOf(prefix) - 1),
  };
}

/**
 * The layer-2 network of this name, or with this bridge.
 * @throws FanwayError when there is none that hands out addresses
 */
export async function findNetwork(run: RunDirectory, network: string): Promise<EngineFan> {
  const [found] = await ask(run, ipamCall, { network });
  if (found !== undefined) return engineNetworkOf(found);
  throw refusedError(
    'no-ipam',
    `no network ${network} hands out addresses here: fanway net add --ipam PREFIX makes one that does`,
  );
}

/** The fan with a bridge of this name or the network, or the only fan. @throws FanwayError as both */
export async function findPlace(run: RunDirectory, name?: string): Promise<EngineFan> {
  try {
    return await findFan(run, name);
  } catch (error) {
    if (codeOf(error) !== 'no-fan' || name === undefined) throw error;
    const [found] = await ask(run, ipamCall, { network: name });
    if (found === undefined) throw error;
    return engineNetworkOf(found);
  }
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
