/**
 * The header of every message (RFC 4271 §4.1), cutting a byte stream into messages, and the two
 * short ones: NOTIFICATION and ROUTE-REFRESH.
 * @module
 */
import { ByteReader, Writer } from './bytes.ts';
import { type Notification, SessionReset } from './faults.ts';
import {
  CEASE_NAMES,
  CeaseError,
  ERROR_NAMES,
  ErrorCode,
  HeaderError,
  MessageType,
  RouteRefreshError,
} from './iana.ts';
import type { BgpFamily } from './open.ts';

export const HEADER_BYTES = 19;
export const MARKER_BYTES = 16;
/** Larger ones need a capability (RFC 8654) that we do not offer. */
export const MESSAGE_BYTES_MAX = 4096;

/** Shortest and, where it is fixed, longest message of each type, bytes. */
const LENGTHS: Readonly<Record<number, readonly [min: number, max: number]>> = {
  [MessageType.Open]: [29, MESSAGE_BYTES_MAX],
  [MessageType.Update]: [23, MESSAGE_BYTES_MAX],
  [MessageType.Notification]: [21, MESSAGE_BYTES_MAX],
  [MessageType.Keepalive]: [19, 19],
  [MessageType.RouteRefresh]: [HEADER_BYTES, MESSAGE_BYTES_MAX],
};

/** A message as it came; `borrowed:` the body is the reader's until it is pushed to again. */
export type RawMessage = { type: number; body: Uint8Array };

/**
 * The length of the message that begins at `offset`, of which a whole header is there.
 * @throws SessionReset RFC 4271 §6.1
 */
function lengthAt(bytes: Uint8Array, offset: number): number {
  for (let index = 0; index < MARKER_BYTES; index++) {
    if (bytes[offset + index] !== 0xff) {
      throw new SessionReset(ErrorCode.Header, HeaderError.NotSynchronised, 'no marker');
    }
  }
  const reader = new ByteReader(bytes, offset + MARKER_BYTES, offset + HEADER_BYTES);
  const length = reader.u16();
  const type = reader.u8();
  const bounds = LENGTHS[type];
  const [min, max] = bounds ?? [HEADER_BYTES, MESSAGE_BYTES_MAX];
  if (length < min || length > max) {
    const data = new Writer().u16(length).finish();
    const reason = `a message of type ${type} with ${length} bytes`;
    throw new SessionReset(ErrorCode.Header, HeaderError.BadLength, reason, data);
  }
  if (bounds === undefined) {
    const data = new Writer().u8(type).finish();
    throw new SessionReset(ErrorCode.Header, HeaderError.BadType, `message type ${type}`, data);
  }
  return length;
}

/** Cuts a stream into messages. Holds less than one message, whatever comes. */
export class MessageReader {
  #pending: Uint8Array = new Uint8Array(0);

  get pendingBytes(): number {
    return this.#pending.length;
  }

  /**
   * The messages that `chunk` completes, one at a time: whoever reads may stop in between.
   * @throws SessionReset when what comes next is no message; those before it were returned.
   */
  *push(chunk: Uint8Array): Generator<RawMessage> {
    let bytes = chunk;
    if (this.#pending.length > 0) {
      bytes = new Uint8Array(this.#pending.length + chunk.length);
      bytes.set(this.#pending);
      bytes.set(chunk, this.#pending.length);
    }
    let offset = 0;
    this.#pending = new Uint8Array(0);
    while (bytes.length - offset >= HEADER_BYTES) {
      const length = lengthAt(bytes, offset);
      if (bytes.length - offset < length) break;
      const type = bytes[offset + HEADER_BYTES - 1] ?? 0;
      const body = bytes.subarray(offset + HEADER_BYTES, offset + length);
      offset += length;
      yield { type, body };
    }
    this.#pending = bytes.slice(offset);
  }
}

/** A whole message from its type and body. */
export function emitMessage(type: MessageType, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = HEADER_BYTES + body.length;
  if (length > MESSAGE_BYTES_MAX) throw new RangeError(`a message of ${length} bytes`);
  const bytes = new Uint8Array(length).fill(0xff, 0, MARKER_BYTES);
  new DataView(bytes.buffer).setUint16(MARKER_BYTES, length);
  bytes[HEADER_BYTES - 1] = type;
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

const EMPTY = new Uint8Array(0);
/** `borrowed:` the same bytes for everybody. */
export const KEEPALIVE: Uint8Array = emitMessage(MessageType.Keepalive, EMPTY);

/** Reads the body of a NOTIFICATION; its length was checked with the header. */
export function parseNotification(body: Uint8Array): Notification {
  const reader = new ByteReader(body);
  return { code: reader.u8(), subcode: reader.u8(), data: reader.rest() };
}

export function emitNotification({ code, subcode, data }: Notification): Uint8Array {
  return new Writer().u8(code).u8(subcode).bytes(data).finish();
}

/** A reset that graceful restart must not soften, around the real reason (RFC 8538 §3). */
export function hardReset(inner: Notification): Notification {
  return {
    code: ErrorCode.Cease,
    subcode: CeaseError.HardReset,
    data: emitNotification(inner),
  };
}

/** As routers print it: `Cease/Administrative Shutdown`. */
export function describeNotification({ code, subcode, data }: Notification): string {
  const name = ERROR_NAMES[code] ?? `error ${code}`;
  const detail = code === ErrorCode.Cease ? CEASE_NAMES[subcode] : undefined;
  const text = `${name}/${detail ?? subcode}`;
  const isHard = code === ErrorCode.Cease && subcode === CeaseError.HardReset && data.length >= 2;
  return isHard ? `${text} (${describeNotification(parseNotification(data))})` : text;
}

/** ROUTE-REFRESH (RFC 2918); `subtype` is 0 but for RFC 7313's markers. */
export type RouteRefresh = BgpFamily & { subtype: number };

const REFRESH_BYTES = 4;

/** @throws SessionReset RFC 7313 §5 */
export function parseRouteRefresh(body: Uint8Array): RouteRefresh {
  if (body.length !== REFRESH_BYTES) {
    const { code, subcode } = {
      code: ErrorCode.RouteRefresh,
      subcode: RouteRefreshError.InvalidLength,
    };
    throw new SessionReset(code, subcode, `a ROUTE-REFRESH of ${body.length} bytes`, body.slice());
  }
  const reader = new ByteReader(body);
  return { afi: reader.u16(), subtype: reader.u8(), safi: reader.u8() };
}

export function emitRouteRefresh({ afi, subtype, safi }: RouteRefresh): Uint8Array {
  return new Writer().u16(afi).u8(subtype).u8(safi).finish();
}
