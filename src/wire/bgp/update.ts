/**
 * UPDATE messages of EVPN (RFC 4271 §4.3, 4760), read by the rules of RFC 7606: what is wrong costs
 * the attribute, the routes or the session, and never more than it must. Routes of other families
 * are passed by.
 * @module
 */
import { type Ip, isZeroIp, readIp } from './address.ts';
import { mergeAsPaths } from './as-path.ts';
import { type AttributeCache, type KnownAttributes, splitAttributes } from './attribute-cache.ts';
import {
  ATTRIBUTE_ROWS,
  type AttributeContext,
  type AttributeRow,
  type Attributes,
  type RawAttribute,
} from './attributes.ts';
import { ByteReader } from './bytes.ts';
import { contradictionOf, type EvpnRoute, readEvpnRoutes } from './evpn.ts';
import {
  AttributeDiscard,
  Malformed,
  resetUpdate,
  TreatAsWithdraw,
  type UpdateFault,
} from './faults.ts';
import { Afi, AS_TRANS, AttributeCode, AttributeFlag, Safi, UpdateError } from './iana.ts';

export type Update = {
  attributes: Attributes;
  /** Of the routes in `reach`; undefined when there are none. */
  nextHop: Ip | undefined;
  reach: EvpnRoute[];
  /** Withdrawn by the neighbour, or because of a mistake in what came with them. */
  unreach: EvpnRoute[];
  /** "That was all" (RFC 4724 §2), of EVPN. */
  isEndOfRib: boolean;
  faults: UpdateFault[];
  /** Routes of other families and of types not known here, passed by. */
  passedBy: number;
};

/** Where a read is: what later checks need to know beside the result. */
type State = Update & {
  /** Codes of the attributes beside those with routes. */
  seen: ReadonlySet<number>;
  hasReach: boolean;
  hasUnreach: boolean;
  /** IPv4 unicast routes announced. */
  plainRoutes: number;
  /** The attribute list could not be read to its end. */
  isCut: boolean;
  /** UPDATE subcode of the first mistake that withdraws. */
  subcode: number;
};

const NONE: ReadonlySet<number> = new Set();
const KIND_BITS = AttributeFlag.Optional | AttributeFlag.Transitive;

/** Counts IPv4 prefixes. @throws SessionReset RFC 7606 §5.3 */
function countPrefixes(reader: ByteReader): number {
  let count = 0;
  try {
    for (; reader.left > 0; count++) {
      const bits = reader.u8();
      if (bits > 32) throw new Malformed(`an IPv4 prefix of ${bits} bits`);
      reader.sub(Math.ceil(bits / 8));
    }
  } catch (error) {
    if (error instanceof Malformed) throw resetUpdate(UpdateError.InvalidNetwork, error.message);
    throw error;
  }
  return count;
}

/** Bytes behind a length of 16 bits. @throws SessionReset where it says more than there is */
function section(reader: ByteReader, what: string): ByteReader {
  const length = reader.left >= 2 ? reader.u16() : 0x10000;
  if (length > reader.left) {
    throw resetUpdate(UpdateError.MalformedAttributeList, `the ${what} overrun the message`);
  }
  return reader.sub(length);
}

/** Runs what reads one of the two attributes that hold routes: a mistake there ends the session. */
function orReset<T>(whole: Uint8Array, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw resetUpdate(UpdateError.OptionalAttribute, error.message, whole);
  }
}

function readReach(reader: ByteReader, state: State): void {
  const family = reader.u16() * 256 + reader.u8();
  const hopBytes = reader.u8();
  const hop = reader.sub(hopBytes);
  reader.u8();
  if (family !== Afi.L2vpn * 256 + Safi.Evpn) {
    state.passedBy++;
    reader.sub(reader.left);
    return;
  }
  // A link-local address may follow a global one (RFC 2545 §3).
  const nextHop = readIp(hop, hopBytes === 32 ? 128 : hopBytes * 8);
  const { routes, skipped } = readEvpnRoutes(reader);
  state.passedBy += skipped;
  state.nextHop = nextHop;
  state.reach.push(...routes);
}

function readUnreach(reader: ByteReader, state: State): void {
  const family = reader.u16() * 256 + reader.u8();
  if (family !== Afi.L2vpn * 256 + Safi.Evpn) {
    state.passedBy++;
    reader.sub(reader.left);
    return;
  }
  state.isEndOfRib = reader.left === 0;
  const { routes, skipped } = readEvpnRoutes(reader);
  state.passedBy += skipped;
  state.unreach.push(...routes);
}

function withdraw(state: State, code: number, subcode: number, reason: string): void {
  if (state.subcode === 0) state.subcode = subcode;
  state.faults.push(new TreatAsWithdraw(code, reason));
}

/** Reads a value by its row; a mistake costs what the row says. */
function readKnown(
  row: AttributeRow,
  code: number,
  flags: number,
  reader: ByteReader,
  state: State,
  context: AttributeContext,
): void {
  const fail = (subcode: number, reason: string): void => {
    const what = `${row.name}: ${reason}`;
    if (row.onMistake === 'discard') state.faults.push(new AttributeDiscard(code, what));
    else withdraw(state, code, subcode, what);
  };
  if (row.internalOnly && !context.internal) {
    state.faults.push(new AttributeDiscard(code, `${row.name} from another AS`));
    return;
  }
  // RFC 7606 §3 (c).
  if ((flags & KIND_BITS) !== row.flags) {
    fail(UpdateError.AttributeFlags, `flags ${flags}`);
    return;
  }
  try {
    const read: Attributes = {};
    row.read(reader, read, context);
    if (reader.left > 0) throw new Malformed(`${reader.left} bytes too many`);
    const opaque = [...(state.attributes.opaque ?? []), ...(read.opaque ?? [])];
    Object.assign(state.attributes, read, opaque.length > 0 && { opaque });
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    fail(error.subcode || row.subcode, error.message);
  }
}

function readUnknown(code: number, flags: number, value: ByteReader, state: State): void {
  const bytes = value.bytes.subarray(value.offset, value.end);
  if ((flags & AttributeFlag.Optional) === 0) {
    // RFC 4271 §6.3: nobody may add a well-known attribute that we do not know.
    throw resetUpdate(UpdateError.UnrecognisedWellKnown, `well-known attribute ${code}`, bytes);
  }
  if ((flags & AttributeFlag.Transitive) === 0) return;
  const raw: RawAttribute = {
    code,
    flags: flags & ~AttributeFlag.ExtendedLength,
    value: bytes.slice(),
  };
  state.attributes.opaque = [...(state.attributes.opaque ?? []), raw];
}

function readRoutes(code: number, flags: number, reader: ByteReader, state: State): void {
  const whole = reader.bytes.subarray(reader.offset, reader.end);
  const isReach = code === AttributeCode.MpReach;
  if (isReach ? state.hasReach : state.hasUnreach) {
    // RFC 7606 §3 (g).
    throw resetUpdate(UpdateError.MalformedAttributeList, 'routes in two attributes of one kind');
  }
  if (isReach) state.hasReach = true;
  else state.hasUnreach = true;
  orReset(whole, () => (isReach ? readReach(reader, state) : readUnreach(reader, state)));
  if ((flags & KIND_BITS) !== AttributeFlag.Optional) {
    withdraw(state, code, UpdateError.AttributeFlags, `flags ${flags} of attribute ${code}`);
  }
}

/** One attribute of the list. */
type Next = { flags: number; code: number; value: ByteReader };

/** The next attribute, or its code alone (-1 = not even that) where the list ends inside it. */
function nextAttribute(reader: ByteReader): Next | number {
  const flags = reader.left > 0 ? reader.u8() : 0;
  const code = reader.left > 0 ? reader.u8() : -1;
  const isLong = (flags & AttributeFlag.ExtendedLength) !== 0;
  if (reader.left < (isLong ? 2 : 1)) return code;
  const length = isLong ? reader.u16() : reader.u8();
  return length > reader.left ? code : { flags, code, value: reader.sub(length) };
}

function isRouteAttribute(code: number): boolean {
  return code === AttributeCode.MpReach || code === AttributeCode.MpUnreach;
}

function readAttributes(reader: ByteReader, state: State, context: AttributeContext): void {
  const seen = new Set<number>();
  state.seen = seen;
  while (reader.left > 0) {
    const next = nextAttribute(reader);
    if (typeof next === 'number') {
      const reason = `attribute ${next} overruns the list`;
      if (isRouteAttribute(next)) throw resetUpdate(UpdateError.MalformedAttributeList, reason);
      // RFC 7606 §4: where the attributes end is still known, but nothing behind this one is.
      state.isCut = true;
      withdraw(state, next, UpdateError.MalformedAttributeList, reason);
      return;
    }
    const { flags, code, value } = next;
    if (isRouteAttribute(code)) {
      readRoutes(code, flags, value, state);
      continue;
    }
    if (seen.has(code)) {
      state.faults.push(new AttributeDiscard(code, `attribute ${code} is there twice`));
    } else {
      const row = ATTRIBUTE_ROWS.get(code);
      if (row === undefined) readUnknown(code, flags, value, state);
      else readKnown(row, code, flags, value, state, context);
    }
    seen.add(code);
  }
}

/** The same, where all but the routes may have been read before. */
function readAttributesOnce(
  reader: ByteReader,
  state: State,
  context: AttributeContext,
  cache: AttributeCache | undefined,
): void {
  const split = cache && splitAttributes(reader.bytes, reader.offset, reader.end);
  const known: KnownAttributes | undefined = split && cache?.find(split);
  if (split !== undefined && known !== undefined) {
    state.attributes = known.attributes;
    state.seen = known.seen;
    const { code, flags, valueAt, next } = split;
    readRoutes(code, flags, reader.window(valueAt, next), state);
    return;
  }
  readAttributes(reader, state, context);
  mergeAs4(state.attributes, context.as4);
  if (split !== undefined && state.faults.length === 0) cache?.keep(split, state);
}

/** RFC 7606 §3 (d): what every announcement must have. */
function requireMandatory(state: State, context: AttributeContext): void {
  if (state.isCut || (state.reach.length === 0 && state.plainRoutes === 0)) return;
  const needed: [number, boolean][] = [
    [AttributeCode.Origin, true],
    [AttributeCode.AsPath, true],
    [AttributeCode.NextHop, state.plainRoutes > 0],
    [AttributeCode.LocalPref, context.internal],
  ];
  for (const [code, isNeeded] of needed) {
    if (!isNeeded || state.seen.has(code)) continue;
    const name = ATTRIBUTE_ROWS.get(code)?.name ?? '';
    withdraw(state, code, UpdateError.MissingWellKnown, `${name} is missing`);
  }
}

/** Brings the two-octet and the four-octet numbers of an old speaker together (RFC 6793 §4.2.3). */
function mergeAs4(attributes: Attributes, as4: boolean): void {
  const { asPath, as4Path, aggregator, as4Aggregator } = attributes;
  delete attributes.as4Path;
  delete attributes.as4Aggregator;
  // Between two speakers of four octets neither may be there, and is discarded (§4.1).
  if (as4) return;
  // An AGGREGATOR that is not AS_TRANS was set behind the last speaker that knew four octets.
  if (aggregator !== undefined && as4Aggregator !== undefined) {
    if (aggregator.as !== AS_TRANS) return;
    attributes.aggregator = as4Aggregator;
  }
  if (asPath !== undefined && as4Path !== undefined) {
    attributes.asPath = mergeAsPaths(asPath, as4Path);
  }
}

/** Moves what may not be used to the withdrawn routes. */
function applyFaults(state: State): void {
  const isWithdrawn = state.faults.some((fault) => fault instanceof TreatAsWithdraw);
  const hasRoutes = state.hasReach || state.plainRoutes > 0;
  if (isWithdrawn && !hasRoutes && (state.seen.size > 0 || state.isCut)) {
    // RFC 7606 §5.2: routes may have been meant that could not be found.
    const reason = state.faults.map(({ reason }) => reason).join('; ');
    throw resetUpdate(state.subcode, `${reason}, and no routes are there to withdraw`);
  }
  if (isWithdrawn) {
    state.unreach.push(...state.reach.splice(0));
    return;
  }
  for (const route of state.reach.slice()) {
    const reason = contradictionOf(route);
    if (reason === '') continue;
    state.faults.push(new TreatAsWithdraw(AttributeCode.MpReach, reason));
    state.reach.splice(state.reach.indexOf(route), 1);
    state.unreach.push(route);
  }
  if (state.nextHop !== undefined && isZeroIp(state.nextHop) && state.reach.length > 0) {
    // RFC 4271 §6.3: a next hop that can be none is logged, and its routes ignored.
    state.faults.push(new TreatAsWithdraw(AttributeCode.MpReach, 'next hop zero'));
    state.unreach.push(...state.reach.splice(0));
  }
}

/**
 * Reads the body of an UPDATE.
 * @param cache of this session; what is found there is the same object each time
 * @throws SessionReset where RFC 7606 leaves nothing else.
 */
export function parseUpdate(
  body: Uint8Array,
  context: AttributeContext,
  cache?: AttributeCache,
): Update {
  const state: State = {
    attributes: {},
    nextHop: undefined,
    reach: [],
    unreach: [],
    isEndOfRib: false,
    faults: [],
    passedBy: 0,
    seen: NONE,
    hasReach: false,
    hasUnreach: false,
    plainRoutes: 0,
    isCut: false,
    subcode: 0,
  };
  const reader = new ByteReader(body);
  const withdrawn = section(reader, 'withdrawn routes');
  const attributes = section(reader, 'attributes');
  state.passedBy += countPrefixes(withdrawn);
  state.plainRoutes = countPrefixes(reader);
  state.passedBy += state.plainRoutes;
  readAttributesOnce(attributes, state, context, cache);
  requireMandatory(state, context);
  applyFaults(state);
  const { nextHop, reach, unreach, faults, passedBy } = state;
  const isAlone = state.seen.size === 0 && !state.hasReach && unreach.length === 0;
  const isEndOfRib = state.isEndOfRib && isAlone;
  return { attributes: state.attributes, nextHop, reach, unreach, faults, passedBy, isEndOfRib };
}
