/**
 * Path attributes as a table: for each its flags, how it is read and written, and what a mistake in
 * it costs (RFC 7606 §7). MP_REACH_NLRI and MP_UNREACH_NLRI are update.ts's.
 * @module
 */

import { type Ip, readIp, writeIp } from './address.ts';
import { AS2_MAX, type AsSegment, readAsPath, writeAsPath } from './as-path.ts';
import type { ByteReader, Writer } from './bytes.ts';
import { COMMUNITY_BYTES, type RawCommunity } from './communities.ts';
import { Malformed } from './faults.ts';
import { AS_TRANS, AttributeCode, AttributeFlag, Origin, PmsiType, UpdateError } from './iana.ts';

/** How to flood (RFC 6514 §5). With VXLAN the label is the VNI (RFC 8365 §5.1.3). */
export type PmsiTunnel = {
  flags: number;
  type: number;
  label: number;
  /** Of ingress replication the tunnel endpoint; other types keep their bytes. */
  id: Ip;
};

/** An attribute whose value nobody here looks into; `flags` without the extended-length bit. */
export type RawAttribute = { code: number; flags: number; value: Uint8Array };

/** What an UPDATE says of its routes; what is not there is undefined. */
export type Attributes = {
  origin?: number;
  asPath?: readonly AsSegment[];
  /** IPv4 unicast's; EVPN's next hop stands in MP_REACH_NLRI. */
  nextHop?: number;
  multiExitDisc?: number;
  localPref?: number;
  atomicAggregate?: true;
  aggregator?: { as: number; address: number };
  communities?: readonly number[];
  originatorId?: number;
  clusterList?: readonly number[];
  extended?: readonly RawCommunity[];
  pmsi?: PmsiTunnel;
  /** Between the two readings of a two-octet speaker only; merged into the others. */
  as4Path?: readonly AsSegment[];
  as4Aggregator?: { as: number; address: number };
  opaque?: readonly RawAttribute[];
};

/** What reading and writing depend on. */
export type AttributeContext = {
  /** Both sides know AS numbers of four octets. */
  as4: boolean;
  /** The neighbour is of our own AS. */
  internal: boolean;
};

export type AttributeRow = {
  name: string;
  /** The optional and transitive bits it must have. */
  flags: number;
  onMistake: 'withdraw' | 'discard';
  /** UPDATE subcode where the mistake can only end the session. */
  subcode: number;
  /** Ignored, unread, when it comes from another AS. */
  internalOnly: boolean;
  /** Takes all of `reader`. @throws Malformed */
  read(reader: ByteReader, into: Attributes, context: AttributeContext): void;
  /** Writes the value and returns true, or returns false when there is none. */
  write(from: Attributes, writer: Writer, context: AttributeContext): boolean;
};

const WELL_KNOWN = AttributeFlag.Transitive;
const OPTIONAL = AttributeFlag.Optional;
const OPTIONAL_TRANSITIVE = AttributeFlag.Optional | AttributeFlag.Transitive;

type Access = Pick<AttributeRow, 'read' | 'write'>;
type More = Partial<Pick<AttributeRow, 'onMistake' | 'subcode' | 'internalOnly'>>;

function row(name: string, flags: number, access: Access, more: More = {}): AttributeRow {
  return {
    name,
    flags,
    onMistake: 'withdraw',
    subcode: flags === WELL_KNOWN ? UpdateError.AttributeLength : UpdateError.OptionalAttribute,
    internalOnly: false,
    ...access,
    ...more,
  };
}

function exactly(reader: ByteReader, bytes: number): void {
  if (reader.left !== bytes) throw new Malformed(`${reader.left} bytes instead of ${bytes}`);
}

/** A count that the value's length gives: at least one. */
function countOf(reader: ByteReader, unit: number): number {
  if (reader.left === 0 || reader.left % unit !== 0) {
    throw new Malformed(`${reader.left} bytes, which is no multiple of ${unit}`);
  }
  return reader.left / unit;
}

type NumberKey = 'nextHop' | 'multiExitDisc' | 'localPref' | 'originatorId';

function u32(key: NumberKey): Access {
  return {
    read(reader, into) {
      exactly(reader, 4);
      into[key] = reader.u32();
    },
    write(from, writer) {
      const value = from[key];
      if (value !== undefined) writer.u32(value);
      return value !== undefined;
    },
  };
}

function u32List(key: 'communities' | 'clusterList'): Access {
  return {
    read(reader, into) {
      into[key] = Array.from({ length: countOf(reader, 4) }, () => reader.u32());
    },
    write(from, writer) {
      for (const value of from[key] ?? []) writer.u32(value);
      return (from[key]?.length ?? 0) > 0;
    },
  };
}

const origin: Access = {
  read(reader, into) {
    exactly(reader, 1);
    const value = reader.u8();
    if (value > Origin.Incomplete)
      throw new Malformed(`ORIGIN ${value}`, UpdateError.InvalidOrigin);
    into.origin = value;
  },
  write(from, writer) {
    if (from.origin !== undefined) writer.u8(from.origin);
    return from.origin !== undefined;
  },
};

const asPath: Access = {
  read(reader, into, { as4 }) {
    into.asPath = readAsPath(reader, as4);
  },
  write(from, writer, { as4 }) {
    if (from.asPath !== undefined) writeAsPath(writer, from.asPath, as4);
    return from.asPath !== undefined;
  },
};

const as4Path: Access = {
  read(reader, into) {
    into.as4Path = readAsPath(reader, true);
  },
  write(from, writer, { as4 }) {
    const path = from.asPath ?? [];
    if (as4 || !path.some(({ numbers }) => numbers.some((as) => as > AS2_MAX))) return false;
    writeAsPath(writer, path, true);
    return true;
  },
};

const atomicAggregate: Access = {
  read(reader, into) {
    exactly(reader, 0);
    into.atomicAggregate = true;
  },
  write: (from) => from.atomicAggregate === true,
};

const aggregator: Access = {
  read(reader, into, { as4 }) {
    exactly(reader, as4 ? 8 : 6);
    into.aggregator = { as: as4 ? reader.u32() : reader.u16(), address: reader.u32() };
  },
  write({ aggregator }, writer, { as4 }) {
    if (aggregator === undefined) return false;
    if (as4) writer.u32(aggregator.as);
    else writer.u16(aggregator.as > AS2_MAX ? AS_TRANS : aggregator.as);
    writer.u32(aggregator.address);
    return true;
  },
};

const as4Aggregator: Access = {
  read(reader, into) {
    exactly(reader, 8);
    into.as4Aggregator = { as: reader.u32(), address: reader.u32() };
  },
  write({ aggregator }, writer, { as4 }) {
    if (aggregator === undefined || as4 || aggregator.as <= AS2_MAX) return false;
    writer.u32(aggregator.as).u32(aggregator.address);
    return true;
  },
};

const extended: Access = {
  read(reader, into) {
    const count = countOf(reader, COMMUNITY_BYTES);
    into.extended = Array.from({ length: count }, () => ({
      high: reader.u32(),
      low: reader.u32(),
    }));
  },
  write({ extended = [] }, writer) {
    for (const { high, low } of extended) writer.u32(high).u32(low);
    return extended.length > 0;
  },
};

const pmsi: Access = {
  read(reader, into) {
    const flags = reader.u8();
    const type = reader.u8();
    const label = reader.u24();
    if (type === PmsiType.None) exactly(reader, 0);
    const isAddress = type === PmsiType.IngressReplication;
    const id = isAddress ? readIp(reader, reader.left * 8) : reader.rest();
    into.pmsi = { flags, type, label, id };
  },
  write({ pmsi }, writer) {
    if (pmsi === undefined) return false;
    writer.u8(pmsi.flags).u8(pmsi.type).u24(pmsi.label);
    writeIp(writer, pmsi.id);
    return true;
  },
};

/** Checked and carried on, never looked into: `check` takes all of a reader. */
function opaque(code: number, flags: number, check: (reader: ByteReader) => void): Access {
  return {
    read(reader, into) {
      const start = reader.offset;
      check(reader);
      const value = reader.bytes.slice(start, reader.end);
      into.opaque = [...(into.opaque ?? []), { code, flags, value }];
    },
    // All of these are written together, by writeAttributes.
    write: () => false,
  };
}

/** Type of one or two bytes, length, value, again and again. */
function checkTlvs(typeBytes: 1 | 2, lengthCounts: 'value' | 'all'): (reader: ByteReader) => void {
  return (reader) => {
    while (reader.left > 0) {
      const start = reader.offset;
      reader.sub(typeBytes);
      const length = reader.u16();
      const read = reader.offset - start;
      if (lengthCounts === 'all' && length < read) throw new Malformed(`a TLV of ${length} bytes`);
      reader.sub(lengthCounts === 'all' ? length - read : length);
    }
  };
}

const multipleOf = (unit: number) => (reader: ByteReader) => {
  reader.sub(countOf(reader, unit) * unit);
};
const fixed = (bytes: number) => (reader: ByteReader) => {
  exactly(reader, bytes);
  reader.sub(bytes);
};

function opaqueRow(
  code: number,
  name: string,
  flags: number,
  check: (reader: ByteReader) => void,
  onMistake: AttributeRow['onMistake'] = 'withdraw',
): [number, AttributeRow] {
  return [code, row(name, flags, opaque(code, flags, check), { onMistake })];
}

const Code = AttributeCode;

/** By code, in the order in which they are written (RFC 4271 Appendix F.3). */
export const ATTRIBUTE_ROWS: ReadonlyMap<number, AttributeRow> = new Map([
  [Code.Origin, row('ORIGIN', WELL_KNOWN, origin)],
  [Code.AsPath, row('AS_PATH', WELL_KNOWN, asPath, { subcode: UpdateError.MalformedAsPath })],
  [Code.NextHop, row('NEXT_HOP', WELL_KNOWN, u32('nextHop'))],
  [Code.MultiExitDisc, row('MULTI_EXIT_DISC', OPTIONAL, u32('multiExitDisc'))],
  [Code.LocalPref, row('LOCAL_PREF', WELL_KNOWN, u32('localPref'), { internalOnly: true })],
  [
    Code.AtomicAggregate,
    row('ATOMIC_AGGREGATE', WELL_KNOWN, atomicAggregate, { onMistake: 'discard' }),
  ],
  [Code.Aggregator, row('AGGREGATOR', OPTIONAL_TRANSITIVE, aggregator, { onMistake: 'discard' })],
  [Code.Communities, row('COMMUNITIES', OPTIONAL_TRANSITIVE, u32List('communities'))],
  [Code.OriginatorId, row('ORIGINATOR_ID', OPTIONAL, u32('originatorId'), { internalOnly: true })],
  [Code.ClusterList, row('CLUSTER_LIST', OPTIONAL, u32List('clusterList'), { internalOnly: true })],
  [Code.ExtendedCommunities, row('EXTENDED_COMMUNITIES', OPTIONAL_TRANSITIVE, extended)],
  [Code.As4Path, row('AS4_PATH', OPTIONAL_TRANSITIVE, as4Path, { onMistake: 'discard' })],
  [
    Code.As4Aggregator,
    row('AS4_AGGREGATOR', OPTIONAL_TRANSITIVE, as4Aggregator, { onMistake: 'discard' }),
  ],
  [Code.PmsiTunnel, row('PMSI_TUNNEL', OPTIONAL_TRANSITIVE, pmsi)],
  // RFC 9012 §13, RFC 7606 §7.13 and §7.15, RFC 7311 §3.4, RFC 8092 §6, RFC 9234 §5, RFC 8669 §6.
  opaqueRow(Code.TunnelEncapsulation, 'TUNNEL_ENCAP', OPTIONAL_TRANSITIVE, checkTlvs(2, 'value')),
  opaqueRow(
    Code.TrafficEngineering,
    'TE',
    OPTIONAL,
    (reader) => reader.sub(reader.left),
    'discard',
  ),
  opaqueRow(
    Code.Ipv6ExtendedCommunities,
    'IPV6_EXTENDED_COMMUNITIES',
    OPTIONAL_TRANSITIVE,
    multipleOf(20),
  ),
  opaqueRow(Code.Aigp, 'AIGP', OPTIONAL, checkTlvs(1, 'all'), 'discard'),
  opaqueRow(Code.LargeCommunities, 'LARGE_COMMUNITIES', OPTIONAL_TRANSITIVE, multipleOf(12)),
  opaqueRow(Code.OnlyToCustomer, 'OTC', OPTIONAL_TRANSITIVE, fixed(4)),
  opaqueRow(Code.PrefixSid, 'PREFIX_SID', OPTIONAL_TRANSITIVE, checkTlvs(1, 'value'), 'discard'),
]);

/** Writes one attribute: flags, code, a length of one byte or, where it must, two, and the value. */
export function writeAttribute(
  writer: Writer,
  flags: number,
  code: number,
  body: Uint8Array,
): void {
  if (body.length > 255)
    writer
      .u8(flags | AttributeFlag.ExtendedLength)
      .u8(code)
      .u16(body.length);
  else writer.u8(flags).u8(code).u8(body.length);
  writer.bytes(body);
}
