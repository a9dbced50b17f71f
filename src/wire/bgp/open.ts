/**
 * OPEN (RFC 4271 §4.2) and what it promises: capabilities (RFC 5492), also in the longer form of
 * RFC 9072.
 * @module
 */
import { ByteReader, Writer } from './bytes.ts';
import { Malformed, SessionReset } from './faults.ts';
import { AS_TRANS, CapabilityCode, ErrorCode, OpenError, OpenParameter } from './iana.ts';

export const BGP_VERSION = 4;
/** Longest restart time of graceful restart, seconds: 12 bits. */
export const RESTART_SECONDS_MAX = 4095;

export type BgpFamily = { afi: number; safi: number };
export type Capability =
  | ({ kind: 'multiprotocol' } & BgpFamily)
  | { kind: 'route-refresh' }
  | {
      kind: 'graceful-restart';
      /** Of {@link GracefulRestartFlag}. */
      flags: number;
      /** Until the session should be back. */
      seconds: number;
      /** `flags` holds {@link FORWARDING_KEPT}. */
      families: (BgpFamily & { flags: number })[];
    }
  | { kind: 'four-octet-as'; as: number }
  | { kind: 'fqdn'; host: string; domain: string }
  | { kind: 'unknown'; code: number; value: Uint8Array };

export type Open = {
  version: number;
  /** The two octets of the header; {@link AS_TRANS} where they do not suffice. */
  as: number;
  /** Seconds, 0 or 3 to 65535. */
  holdSeconds: number;
  /** u32. */
  identifier: number;
  capabilities: Capability[];
};

const text = new TextDecoder();
const bytes = new TextEncoder();

function readCapability(code: number, reader: ByteReader): Capability {
  switch (code) {
    case CapabilityCode.Multiprotocol: {
      const afi = reader.u16();
      reader.u8();
      return { kind: 'multiprotocol', afi, safi: reader.u8() };
    }
    case CapabilityCode.RouteRefresh:
      return { kind: 'route-refresh' };
    case CapabilityCode.GracefulRestart: {
      const word = reader.u16();
      const families: (BgpFamily & { flags: number })[] = [];
      while (reader.left > 0) {
        families.push({ afi: reader.u16(), safi: reader.u8(), flags: reader.u8() });
      }
      return {
        kind: 'graceful-restart',
        flags: word >>> 12,
        seconds: word & RESTART_SECONDS_MAX,
        families,
      };
    }
    case CapabilityCode.FourOctetAs:
      return { kind: 'four-octet-as', as: reader.u32() };
    case CapabilityCode.Fqdn: {
      const host = text.decode(reader.take(reader.u8()));
      return { kind: 'fqdn', host, domain: text.decode(reader.take(reader.u8())) };
    }
    default:
      return { kind: 'unknown', code, value: reader.rest() };
  }
}

/** The capabilities that the session cannot do without knowing. */
const NEEDED: readonly number[] = [CapabilityCode.Multiprotocol, CapabilityCode.FourOctetAs];

function readCapabilities(reader: ByteReader, into: Capability[]): void {
  while (reader.left > 0) {
    const code = reader.u8();
    const value = reader.sub(reader.u8());
    const start = value.offset;
    try {
      const capability = readCapability(code, value);
      if (value.left > 0) throw new Malformed(`capability ${code}: ${value.left} bytes too many`);
      into.push(capability);
    } catch (error) {
      if (!(error instanceof Malformed) || NEEDED.includes(code)) throw error;
      // One that is only an offer is not understood, and that is all.
      into.push({ kind: 'unknown', code, value: value.bytes.slice(start, value.end) });
    }
  }
}

function readParameters(reader: ByteReader, isLong: boolean, into: Capability[]): void {
  while (reader.left > 0) {
    const type = reader.u8();
    const value = reader.sub(isLong ? reader.u16() : reader.u8());
    if (type !== OpenParameter.Capabilities) {
      throw new SessionReset(
        ErrorCode.Open,
        OpenError.UnsupportedParameter,
        `optional parameter ${type}`,
      );
    }
    readCapabilities(value, into);
  }
}

function readBody(reader: ByteReader): Open {
  const version = reader.u8();
  if (version !== BGP_VERSION) {
    const supported = new Writer().u16(BGP_VERSION).finish();
    throw new SessionReset(ErrorCode.Open, OpenError.Version, `version ${version}`, supported);
  }
  const as = reader.u16();
  const holdSeconds = reader.u16();
  const identifier = reader.u32();
  if (holdSeconds === 1 || holdSeconds === 2) {
    const reason = `a hold time of ${holdSeconds} s`;
    throw new SessionReset(ErrorCode.Open, OpenError.UnacceptableHoldTime, reason);
  }
  // RFC 6286 §2.2.
  if (identifier === 0) {
    throw new SessionReset(ErrorCode.Open, OpenError.BadIdentifier, 'identifier 0.0.0.0');
  }
  const capabilities: Capability[] = [];
  const length = reader.u8();
  const isLong = length !== 0 && reader.bytes[reader.offset] === OpenParameter.ExtendedLength;
  if (isLong) reader.u8();
  const parameters = reader.sub(isLong ? reader.u16() : length);
  if (reader.left > 0) throw new Malformed(`${reader.left} bytes behind the parameters`);
  readParameters(parameters, isLong, capabilities);
  return { version, as, holdSeconds, identifier, capabilities };
}

/** Reads the body of an OPEN. @throws SessionReset RFC 4271 §6.2 */
export function parseOpen(body: Uint8Array): Open {
  try {
    return readBody(new ByteReader(body));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new SessionReset(ErrorCode.Open, OpenError.Unspecific, error.message);
  }
}

const CODES: Readonly<Record<Exclude<Capability['kind'], 'unknown'>, number>> = {
  multiprotocol: CapabilityCode.Multiprotocol,
  'route-refresh': CapabilityCode.RouteRefresh,
  'graceful-restart': CapabilityCode.GracefulRestart,
  'four-octet-as': CapabilityCode.FourOctetAs,
  fqdn: CapabilityCode.Fqdn,
};

function writeCapability(writer: Writer, capability: Capability): void {
  switch (capability.kind) {
    case 'multiprotocol':
      writer.u16(capability.afi).u8(0).u8(capability.safi);
      return;
    case 'route-refresh':
      return;
    case 'graceful-restart':
      writer.u16((capability.flags << 12) | capability.seconds);
      for (const { afi, safi, flags } of capability.families) writer.u16(afi).u8(safi).u8(flags);
      return;
    case 'four-octet-as':
      writer.u32(capability.as);
      return;
    case 'fqdn':
      for (const name of [capability.host, capability.domain]) {
        writer.counted(8, (body) => body.bytes(bytes.encode(name)));
      }
      return;
    case 'unknown':
      writer.bytes(capability.value);
      return;
  }
}

/** The body of an OPEN, all capabilities in one parameter; the longer form where they must. */
export function emitOpen(open: Open): Uint8Array {
  const list = new Writer();
  for (const capability of open.capabilities) {
    list.u8(capability.kind === 'unknown' ? capability.code : CODES[capability.kind]);
    list.counted(8, (body) => writeCapability(body, capability));
  }
  const capabilities = list.finish();
  const writer = new Writer().u8(open.version).u16(open.as).u16(open.holdSeconds);
  writer.u32(open.identifier);
  if (capabilities.length === 0) return writer.u8(0).finish();
  if (capabilities.length + 2 < OpenParameter.ExtendedLength) {
    return writer
      .counted(8, (body) =>
        body.u8(OpenParameter.Capabilities).counted(8, (value) => value.bytes(capabilities)),
      )
      .finish();
  }
  writer.u8(OpenParameter.ExtendedLength).u8(OpenParameter.ExtendedLength);
  return writer
    .counted(16, (body) =>
      body.u8(OpenParameter.Capabilities).counted(16, (value) => value.bytes(capabilities)),
    )
    .finish();
}

/** The AS number of a speaker: the capability's, or the header's two octets. */
export function asOf(open: Open): number {
  for (const capability of open.capabilities) {
    if (capability.kind === 'four-octet-as') return capability.as;
  }
  return open.as;
}

/** What the header says of an AS number that may have four octets. */
export function headerAs(as: number): number {
  return as > 0xffff ? AS_TRANS : as;
}
