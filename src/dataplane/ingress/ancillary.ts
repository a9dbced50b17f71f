/**
 * What comes along with a received message: its TOS byte, and the size of the datagrams of a train.
 * @module
 */
import {
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TCLASS,
  SOL_UDP,
  UDP_GRO,
} from '../../sys/libc/constants.ts';
import { type Arena, CMSG_HEADER_BYTES } from '../ground/arena.ts';
import { isSameHost } from '../ground/sockaddr.ts';
import { CONTROL_BYTES, type Messages } from './messages.ts';

export class Ancillary {
  readonly #arena: Arena;
  /** Of a train the bytes of each datagram, 0 of a single one. */
  segmentBytes = 0;
  /** TOS byte or traffic class. */
  tos = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Takes what the control messages at `at` say, `length` bytes of them. */
  read(at: number, length: number): void {
    const { view } = this.#arena;
    this.segmentBytes = 0;
    this.tos = 0;
    const end = at + Math.min(length, CONTROL_BYTES);
    let entry = at;
    while (entry + CMSG_HEADER_BYTES < end) {
      const entryBytes = view.getUint32(entry, true);
      if (entryBytes <= CMSG_HEADER_BYTES) return;
      const level = view.getInt32(entry + 8, true);
      const type = view.getInt32(entry + 12, true);
      const data = entry + CMSG_HEADER_BYTES;
      if (level === SOL_UDP && type === UDP_GRO) {
        this.segmentBytes = view.getInt32(data, true);
      } else if (
        (level === IPPROTO_IP && type === IP_TOS) ||
        (level === IPPROTO_IPV6 && type === IPV6_TCLASS)
      ) {
        // A byte in the one, an int in the other, whose first byte it is.
        this.tos = view.getUint8(data);
      }
      entry += (entryBytes + 7) & ~7;
    }
  }

  /**
   * Reads that of `message` and returns where the messages end that are single
   * datagrams of the same length, source and ancillary data: they may continue its flow.
   */
  endOfAlike(messages: Messages, message: number, count: number): number {
    const { view } = this.#arena;
    this.read(messages.controlOf(message), messages.controlBytesOf(message));
    let end = message + 1;
    if (this.segmentBytes !== 0) return end;
    const { tos } = this;
    const length = messages.lengthOf(message);
    const source = messages.nameOf(message);
    for (; end < count; end++) {
      if (
        messages.lengthOf(end) !== length ||
        !isSameHost(view, messages.nameOf(end), source) ||
        messages.isCutOff(end)
      ) {
        break;
      }
      this.read(messages.controlOf(end), messages.controlBytesOf(end));
      if (this.segmentBytes !== 0 || this.tos !== tos) break;
    }
    this.segmentBytes = 0;
    this.tos = tos;
    return end;
  }
}
