/**
 * Addresses that this host hands out on layer-2 networks, on the admin socket.
 * @module
 */
import { post } from '../call.ts';
import { count, fields, list, nullable, text } from '../reader.ts';

const prefix = fields({ address: count, length: count });

/** What of a network this host hands out. Addresses are u32. */
export type IpamJson = {
  network: string;
  bridge: string;
  device: string;
  /** Bytes. */
  mtu: number;
  prefix: { address: number; length: number };
  slice: { address: number; length: number };
  /** This host's own address in it, which may lead further; 0 = it has none. */
  gateway: number;
  /** Addresses of the slice that somebody is known to have, here or elsewhere. */
  inUse: number[];
  /** Who else hands out addresses of the slice, a sentence each. */
  conflicts: string[];
};

/** Networks that hand out addresses: one, by its name or that of its bridge, null = all. */
export const ipamCall = post<{ network: string | null }, IpamJson[]>(
  '/v1/networks/ipam',
  fields({ network: nullable(text) }),
  list(
    fields<IpamJson>({
      ...{ network: text, bridge: text, device: text, mtu: count, prefix, slice: prefix },
      ...{ gateway: count, inUse: list(count), conflicts: list(text) },
    }),
  ),
);
