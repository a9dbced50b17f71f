/**
 * Layer-2 networks on the admin socket: one that is to come, one that is to go.
 * @module
 */

import { parseOverlay, parseUnderlay } from '../../config/link/sides.ts';
import { formatUnderlay, type UnderlaySelector } from '../../config/link/underlays.ts';
import { HOST_ADDRESSES_MAX, NETWORK_ROWS, NETWORK_VNI_MAX } from '../../config/network/rows.ts';
import { type NetworkRequest, parseInside } from '../../config/network.ts';
import { type FieldsOf, fieldNames, fieldsOfJson } from '../../config/row/row.ts';
import { parseInterfaceName, ValueError } from '../../config/row/setting.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { formatHostPrefix } from '../../net/underlay-address.ts';
import { UNDERLAYS_MAX } from '../../net/underlay-modes.ts';
import { get, post } from '../call.ts';
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

type RowFields = FieldsOf<typeof NETWORK_ROWS>;

/** What no single row makes. */
const ownFields = fields<Omit<NetworkRequest, keyof RowFields>>({
  ...{ network: name, vni: range(1, NETWORK_VNI_MAX), bridge: name },
  underlay: nullable(underlay),
  further: optional(list(underlay, UNDERLAYS_MAX - 1)),
  addresses: optional(list(parsed(parseInside), HOST_ADDRESSES_MAX)),
  ipam: optional(parsed(parseOverlay)),
  outer: optional(host),
});

const whole = fields({});
const ROW_FIELDS = new Set(fieldNames(NETWORK_ROWS));

/** Reads a whole request; every field must be there. */
export const readNetworkRequest: Reader<NetworkRequest> = (value, at) => {
  const all = whole(value, at);
  const of = fieldsOfJson(NETWORK_ROWS, all, (field) => {
    throw new ShapeError(`${at}.${field} is missing or not what it should be`);
  });
  const rest = Object.entries(all).filter(([field]) => !ROW_FIELDS.has(field));
  return { ...ownFields(Object.fromEntries(rest), at), ...of };
};

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

/** Layer-2 networks as the data plane runs them, for whoever plans beside them; `stopped` as of a fan. */
export const networkSpecsCall = get(
  '/v1/networks/specs',
  list(
    fields<{ spec: object; stopped?: boolean | undefined }>({
      ...{ spec: fields({}), stopped: optional(flag) },
    }),
  ),
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

/** A request as it travels. */
export function networkRequestJson(request: NetworkRequest): NetworkRequestJson {
  const { underlay, further, addresses, ipam } = request;
  return {
    ...request,
    underlay: underlay === null ? null : formatUnderlay(underlay),
    further: further?.map(formatUnderlay),
    addresses: addresses?.map(formatHostPrefix),
    ipam: ipam && formatPrefix(ipam),
  };
}
