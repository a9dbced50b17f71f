/**
 * Layer-2 networks on the admin socket: one that is to come, one that is to go.
 * @module
 */

import type { UnderlaySelector } from '../../config/link/underlays.ts';
import { BUM_MODES, GUARD_MODES } from '../../config/network/modes.ts';
import {
  HOST_ADDRESSES_MAX,
  NETWORK_VNI_MAX,
  type NetworkRequest,
  PEERS_MAX,
  parseInside,
  SERVERS_MAX,
  SERVICE_NODES_MAX,
} from '../../config/network.ts';
import { MTU_BYTES_MAX, MTU_BYTES_MIN } from '../../config/request.ts';
import { parseOverlay, parseUnderlay } from '../../config/schema.ts';
import { parseInterfaceName, ValueError } from '../../config/setting.ts';
import { UNDERLAY_MODES, UNDERLAYS_MAX, XMIT_HASH_POLICIES } from '../../net/underlay-modes.ts';
import { post } from '../call.ts';
import {
  count,
  fields,
  flag,
  host,
  list,
  nullable,
  optional,
  type Reader,
  ShapeError,
  text,
  word,
} from '../reader.ts';
import { rateFields } from './rate.ts';

function range(min: number, max: number): Reader<number> {
  return (value, at) => {
    const read = count(value, at);
    if (read >= min && read <= max) return read;
    throw new ShapeError(`${at} is not ${min} to ${max}`);
  };
}

/** A text that `parse` takes. */
function parsed<T>(parse: (text: string) => T): Reader<T> {
  return (value, at) => {
    try {
      return parse(text(value, at));
    } catch (error) {
      if (error instanceof ValueError) throw new ShapeError(`${at}: ${error.message}`);
      throw error;
    }
  };
}

const name = parsed(parseInterfaceName);
/** A MAC; SERVER_IS_HOST is one too. */
const serverMac = range(0, 0xffff_ffff_ffff);

/** An underlay as it is written, `eth0/16`. */
const underlay: Reader<UnderlaySelector> = parsed(parseUnderlay);

/** What travels of a request: its underlays and this host's own addresses as text. */
export type NetworkRequestJson = Omit<
  NetworkRequest,
  'underlay' | 'further' | 'addresses' | 'ipam'
> & {
  ipam: string | undefined;
  underlay: string | null;
  further: string[] | undefined;
  addresses: string[] | undefined;
};

const requestFields = {
  ...{ network: name, vni: range(1, NETWORK_VNI_MAX), bridge: name },
  ...{ port: nullable(range(1, 65535)), mtu: nullable(range(MTU_BYTES_MIN, MTU_BYTES_MAX)) },
  ...{ bum: word(...BUM_MODES), serviceNodes: list(host, SERVICE_NODES_MAX) },
  peers: optional(list(host, PEERS_MAX)),
  ...{
    dhcpServers: optional(list(serverMac, SERVERS_MAX)),
    routers: optional(list(serverMac, SERVERS_MAX)),
  },
  ...{ guard: word(...GUARD_MODES), replicator: flag, offload: word('auto', 'off'), off: flag },
  ...rateFields,
};

/** Reads a whole request; every field must be there. */
export const readNetworkRequest: Reader<NetworkRequest> = fields<NetworkRequest>({
  ...requestFields,
  underlay: nullable(underlay),
  further: optional(list(underlay, UNDERLAYS_MAX - 1)),
  underlayMode: optional(word(...UNDERLAY_MODES)),
  xmitHashPolicy: optional(word(...XMIT_HASH_POLICIES)),
  addresses: optional(list(parsed(parseInside), HOST_ADDRESSES_MAX)),
  ipam: optional(parsed(parseOverlay)),
  outer: optional(host),
});

export type NetworkAnswer = {
  outcome: 'up' | 'same' | 'refused';
  network: string;
  bridge: string;
  /** What to know, or why not. */
  messages: string[];
};

export const addNetworkCall = post<{ request: unknown }, NetworkAnswer>(
  '/v1/networks/add',
  fields({ request: (value) => value }),
  fields<NetworkAnswer>({
    ...{ outcome: word('up', 'same', 'refused'), network: text, bridge: text },
    messages: list(text),
  }),
);

/** What a network would change on this host, each as a line, in the order of doing. */
export type NetworkPlanJson = {
  outcome: 'changes' | 'same' | 'refused';
  network: string;
  bridge: string;
  changes: string[];
  /** Of one that is there already: what it changed, in the order in which it is taken back. */
  undone: string[];
  /** What to know, or why not. */
  messages: string[];
};

export const planNetworkCall = post<{ request: unknown }, NetworkPlanJson>(
  '/v1/networks/plan',
  fields({ request: (value) => value }),
  fields<NetworkPlanJson>({
    ...{ outcome: word('changes', 'same', 'refused'), network: text, bridge: text },
    ...{ changes: list(text), undone: list(text), messages: list(text) },
  }),
);

/** `network`: its name, or that of its bridge. `notes`: what stays. `ending`: the router has nothing left to do. */
export const removeNetworkCall = post<
  { network: string; force: boolean },
  { bridge: string; notes: string[]; ending: boolean }
>(
  '/v1/networks/rm',
  fields({ network: text, force: flag }),
  fields({ bridge: text, notes: list(text), ending: flag }),
);
