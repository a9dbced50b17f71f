/**
 * Writing UPDATEs: as many routes in each as it has room for.
 * @module
 */
import { type Ip, writeIp } from './address.ts';
import {
  ATTRIBUTE_ROWS,
  type AttributeContext,
  type Attributes,
  writeAttribute,
} from './attributes.ts';
import { Writer } from './bytes.ts';
import { type EvpnRoute, writeEvpnRoute } from './evpn.ts';
import { Afi, AttributeCode, AttributeFlag, Safi } from './iana.ts';
import { HEADER_BYTES, MESSAGE_BYTES_MAX } from './message.ts';

/** Writes all attributes but those that hold routes, in the order of their codes. */
function writeAttributes(writer: Writer, from: Attributes, context: AttributeContext): void {
  const value = new Writer();
  const opaque = [...(from.opaque ?? [])].sort((a, b) => a.code - b.code);
  const writeOpaque = (below: number): void => {
    for (let next = opaque[0]; next !== undefined && next.code < below; next = opaque[0]) {
      writeAttribute(writer, next.flags, next.code, next.value);
      opaque.shift();
    }
  };
  for (const [code, row] of ATTRIBUTE_ROWS) {
    writeOpaque(code);
    value.truncate(0);
    if (row.internalOnly && !context.internal) continue;
    if (row.write(from, value, context)) writeAttribute(writer, row.flags, code, value.finish());
  }
  writeOpaque(256);
}

/**
 * All attributes but those that hold routes, as they go to a neighbour of our own AS that knows AS
 * numbers of four octets: equal bytes are equal attributes.
 */
export function emitAttributes(attributes: Attributes): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  writeAttributes(writer, attributes, { as4: true, internal: true });
  return writer.finish();
}

const BODY_BYTES_MAX = MESSAGE_BYTES_MAX - HEADER_BYTES;
const ATTRIBUTE_HEAD_BYTES = 4;

/**
 * Splits routes over as many bodies as they need. `head` begins the attribute that holds them,
 * `room` is what a body has for its value.
 */
function pack(routes: readonly EvpnRoute[], head: Uint8Array, room: number): Uint8Array[] {
  const values: Uint8Array[] = [];
  const value = new Writer().bytes(head);
  for (const route of routes) {
    const before = value.length;
    writeEvpnRoute(value, route);
    if (value.length <= room) continue;
    if (before === head.length) throw new RangeError('one route alone does not fit an UPDATE');
    value.truncate(before);
    values.push(value.finish());
    value.truncate(head.length);
    writeEvpnRoute(value, route);
  }
  values.push(value.finish());
  return values;
}

function family(writer: Writer): Writer {
  return writer.u16(Afi.L2vpn).u8(Safi.Evpn);
}

/** The bodies of UPDATEs that announce routes with these attributes: as few as there can be. */
export function emitReach(
  attributes: Attributes,
  nextHop: Ip,
  routes: readonly EvpnRoute[],
  context: AttributeContext,
): Uint8Array[] {
  const others = new Writer();
  writeAttributes(others, attributes, context);
  const rest = others.finish();
  const head = family(new Writer())
    .counted(8, (writer) => writeIp(writer, nextHop))
    .u8(0);
  const room = BODY_BYTES_MAX - 4 - ATTRIBUTE_HEAD_BYTES - rest.length;
  return pack(routes, head.finish(), room).map((value) =>
    new Writer()
      .u16(0)
      .counted(16, (writer) => {
        // RFC 7606 §5.1: the routes first, so that a mistake behind them withdraws them.
        writeAttribute(writer, AttributeFlag.Optional, AttributeCode.MpReach, value);
        writer.bytes(rest);
      })
      .finish(),
  );
}

/** The bodies of UPDATEs that withdraw routes; without routes the End-of-RIB marker. */
export function emitUnreach(routes: readonly EvpnRoute[]): Uint8Array[] {
  const head = family(new Writer()).finish();
  return pack(routes, head, BODY_BYTES_MAX - 4 - ATTRIBUTE_HEAD_BYTES).map((value) =>
    new Writer()
      .u16(0)
      .counted(16, (writer) =>
        writeAttribute(writer, AttributeFlag.Optional, AttributeCode.MpUnreach, value),
      )
      .finish(),
  );
}
