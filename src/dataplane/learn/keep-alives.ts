/**
 * Keep-alives of hosts behind a NAT, and answers to ours (wire/lan/keep-alive.ts): control is told where
 * each came from. Whose they are only their tag says, which control checks; so they are taken from
 * anybody, and are no packets of the overlay.
 * @module
 */
import { eventIndex } from '../../table/counters.ts';
import { EventKind } from '../../table/events.ts';
import {
  KEEP_ALIVE_ADDRESS_OFFSET,
  KEEP_ALIVE_PORT_OFFSET,
  KEEP_ALIVE_SEAT_OFFSET,
  KeepAliveKind,
  keepAliveKind,
} from '../../wire/lan/keep-alive.ts';
import type { DataLink } from '../ground/link.ts';
import { getSockaddrIpv4, getSockaddrPort, isSockaddrIpv6 } from '../ground/sockaddr.ts';
import type { News } from './news.ts';

const KEEP_ALIVES = eventIndex('keep_alives');
const ADDRESS_BYTES = 16;

export class KeepAliveNews {
  readonly #news: News;

  constructor(news: News) {
    this.#news = news;
  }

  /** Takes the frame at `frame` from the socket address at `source`; false where it is any other frame. */
  take(
    link: DataLink,
    view: DataView,
    frame: number,
    length: number,
    source: number,
    nowMs: number,
  ): boolean {
    const kind = keepAliveKind(view, frame, length);
    if (kind === KeepAliveKind.None || isSockaddrIpv6(view, source)) return false;
    link.counters[KEEP_ALIVES] = (link.counters[KEEP_ALIVES] as number) + 1;
    const isAnswer = kind === KeepAliveKind.Answer;
    const address = frame + KEEP_ALIVE_ADDRESS_OFFSET;
    // An answer says what was seen there; of a keep-alive it is seen here.
    if (!isAnswer) view.setUint32(address, getSockaddrIpv4(view, source));
    const port = isAnswer
      ? view.getUint16(frame + KEEP_ALIVE_PORT_OFFSET)
      : getSockaddrPort(view, source);
    this.#news.nowMs = nowMs;
    this.#news.tellAddress(
      link,
      isAnswer ? EventKind.KeepAliveAnswer : EventKind.KeepAlive,
      frame + KEEP_ALIVE_SEAT_OFFSET,
      address,
      ADDRESS_BYTES,
      port,
    );
    return true;
  }
}
