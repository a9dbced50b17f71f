/**
 * Tags of keep-alives: nobody makes one who has not been told the seat's secret, and none can be taken
 * for another's.
 * @module
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { EventKind, type LinkEvent } from '../../../table/events.ts';
import {
  KEEP_ALIVE_TAG_BYTES,
  type KeepAlive,
  KeepAliveKind,
  keepAliveDatagram,
} from '../../../wire/lan/keep-alive.ts';

/** Of a seat: as long as what the tag is made with (RFC 2104 §3). */
export const SECRET_BYTES = 32;
const MARK = 'fanway keep-alive 1\n';
const TWO_32 = 0x1_0000_0000;

function tagOf(secret: Uint8Array, alive: KeepAlive): Buffer {
  const { kind, seat, number, port, address } = alive;
  const said = Buffer.alloc(16);
  said.writeUInt16BE(kind, 0);
  said.writeUInt16BE(seat, 2);
  said.writeUInt32BE(number, 4);
  said.writeUInt16BE(port, 8);
  said.writeUInt32BE(address, 12);
  const hmac = createHmac('sha256', secret).update(MARK).update(said);
  return hmac.digest().subarray(0, KEEP_ALIVE_TAG_BYTES);
}

/** The datagram of one. */
export function sealed(vni: number, secret: Uint8Array, alive: KeepAlive): Buffer<ArrayBuffer> {
  return keepAliveDatagram(vni, alive, tagOf(secret, alive));
}

/** One that came, as a data process told of it: what it says, where from or what was seen, and its tag. */
export type Heard = {
  seat: number;
  number: number;
  address: number;
  port: number;
  tag: Uint8Array;
};

/** What an event tells of a keep-alive, undefined for one that does not. */
export function heardOf(event: LinkEvent, kind: EventKind): Heard | undefined {
  if (event.kind !== kind || event.address.length !== 4 + KEEP_ALIVE_TAG_BYTES) return undefined;
  const view = new DataView(event.address.buffer, event.address.byteOffset);
  return {
    seat: Math.floor(event.mac / TWO_32),
    number: event.mac % TWO_32,
    address: view.getUint32(0),
    port: event.peer,
    tag: event.address.subarray(4),
  };
}

/** Whether whoever has the secret said this. A keep-alive says nothing of where it comes from. */
export function isAuthentic(
  secret: Uint8Array,
  heard: Heard,
  kind: typeof EventKind.KeepAlive | typeof EventKind.KeepAliveAnswer,
): boolean {
  const isAnswer = kind === EventKind.KeepAliveAnswer;
  const { seat, number } = heard;
  const tag = tagOf(secret, {
    ...{ kind: isAnswer ? KeepAliveKind.Answer : KeepAliveKind.Alive, seat, number },
    port: isAnswer ? heard.port : 0,
    address: isAnswer ? heard.address : 0,
  });
  return timingSafeEqual(tag, heard.tag);
}
