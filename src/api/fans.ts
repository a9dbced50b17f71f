/**
 * Fans on the admin socket: those that are here, one that is to come up, one that is to go.
 * @module
 */
import { FAN_ROWS } from '../config/link/fan-rows.ts';
import type { FanRequest } from '../config/request.ts';
import { requestFromJson } from '../config/request-json.ts';
import { type CarriedOf, carriedOf } from '../config/row/row.ts';
import { messageOf } from '../errors.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Ipv6, Prefix6 } from '../net/prefix6.ts';
import type { UnderlayPrefix } from '../net/underlay-address.ts';
import { get, post } from './call.ts';
import {
  count,
  fields,
  flag,
  host,
  list,
  number,
  optional,
  type ReadBy,
  type Reader,
  ShapeError,
  text,
  word,
} from './reader.ts';

const prefix = fields<Prefix>({ address: count, length: count });

/** Four words of 32 bits, the highest first. */
const ipv6: Reader<Ipv6> = (value, at) => {
  const [a, b, c, d, more] = list(count)(value, at);
  if (
    a === undefined ||
    b === undefined ||
    c === undefined ||
    d === undefined ||
    more !== undefined
  ) {
    throw new ShapeError(`${at}: an IPv6 address has four words`);
  }
  return [a, b, c, d];
};
const prefix6 = fields<Prefix6>({ address: ipv6, length: count });

/** The IPv6 side of a link. */
const sixSpec = fields({ overlay: prefix6, slice: prefix6, gateway: ipv6, vni: number });

/** One link as the data plane runs it. Overlay addresses are u32 in host order, MTUs bytes. */
const plainSpec = fields({
  /** Unique id, equal to the bridge's name. */
  name: text,
  /** TUN/TAP name, at most 15 characters. */
  device: text,
  overlay: prefix,
  underlay: fields<UnderlayPrefix>({ address: host, length: count }),
  /** Our underlay address. */
  local: host,
  slice: prefix,
  /** The slice's .1. */
  gateway: count,
  vni: number,
  /** UDP destination port, 0 for ipip. */
  port: number,
  underlayMtu: number,
  innerMtu: number,
  /** Outer source ports in use; 1 = fixed. */
  sourcePorts: number,
});
/** What it has by the settings of a fan. */
const carriedSpec: Reader<CarriedOf<typeof FAN_ROWS>> = (value, at) =>
  carriedOf(FAN_ROWS, fields({})(value, at), (field) => {
    throw new ShapeError(`${at}.${field} is missing or not what it should be`);
  });
type LinkSpec = ReadBy<typeof plainSpec> &
  ReadBy<typeof carriedSpec> & { six?: ReadBy<typeof sixSpec> };
const mayHaveSix = fields({ six: optional(sixSpec) });
const linkSpec: Reader<LinkSpec> = (value, at) => {
  const { six, ...plain } = {
    ...{ ...plainSpec(value, at), ...carriedSpec(value, at) },
    ...mayHaveSix(value, at),
  };
  return six === undefined ? plain : { ...plain, six };
};

/** A fan as it was asked for. */
const request: Reader<FanRequest> = (value, at) => {
  try {
    return requestFromJson(value);
  } catch (error) {
    throw new ShapeError(`${at}: ${messageOf(error)}`);
  }
};

/** A fan that runs here, or whose journal says so. `stopped`: wanted, and nothing of it is on the host. */
export type RunningFan = { request: FanRequest; spec: LinkSpec; stopped?: boolean | undefined };

export const fansCall = get(
  '/v1/fans',
  list(fields<RunningFan>({ request, spec: linkSpec, stopped: optional(flag) })),
);

/** What came of it; `changes` are those that were made, each as its kind has it. */
export type UpAnswer =
  | { outcome: 'changes'; spec: LinkSpec; changes: object[]; warnings: string[] }
  | { outcome: 'same'; spec: LinkSpec; message: string }
  | { outcome: 'refused'; refusals: { code: string; message: string }[] };

const outcomeOf = fields({ outcome: word('changes', 'same', 'refused') });
const upAnswers = {
  changes: fields<Extract<UpAnswer, { outcome: 'changes' }>>({
    ...{ outcome: word<'changes'>('changes'), spec: linkSpec },
    ...{ changes: list(fields({})), warnings: list(text) },
  }),
  same: fields<Extract<UpAnswer, { outcome: 'same' }>>({
    ...{ outcome: word<'same'>('same'), spec: linkSpec, message: text },
  }),
  refused: fields<Extract<UpAnswer, { outcome: 'refused' }>>({
    outcome: word<'refused'>('refused'),
    refusals: list(fields({ code: text, message: text })),
  }),
};

export const upCall = post<{ request: FanRequest }, UpAnswer>(
  '/v1/up',
  fields({ request: requestFromJson }),
  (value, at) => upAnswers[outcomeOf(value, at).outcome](value, at),
);

/** `force`: although containers are attached. `part`: of a fan of both families one alone. */
export type DownRequest = { name: string; force: boolean; part?: 'ipv4' | 'ipv6' };

const mayHavePart = fields({ part: optional(word('ipv4', 'ipv6')) });
const downRequest: Reader<DownRequest> = (value, at) => {
  const { part } = mayHavePart(value, at);
  const whole = fields({ name: text, force: flag })(value, at);
  return { name: whole.name, force: whole.force, ...(part !== undefined && { part }) };
};

export const downCall = post<DownRequest, { notes: string[] }>(
  '/v1/down',
  downRequest,
  fields({ notes: list(text) }),
);

/** Ends a router that has nothing left to do. */
export const endIfIdleCall = post('/v1/end-if-idle', fields({}), fields({ ending: flag }));

/** Reads the configuration file again, where there is one; `message`: what became of it. */
export const reloadCall = post('/v1/reload', fields({}), fields({ message: text }));
