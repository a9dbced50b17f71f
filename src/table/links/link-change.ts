/**
 * One change of the links that a data process has, as control tells it: what leaves, and what comes
 * with which descriptors. A change is one message, so it comes whole or not at all; what the links
 * are stands in the tables (links.ts). The first message of a process's life names what it was born
 * with.
 *
 * ```
 * words (i32):  sequence | inherited | counts of the three lists
 *               left:      id, incarnation
 *               endpoints: index, incarnation, sockets, probe (0 or 1)
 *               links:     id, incarnation
 *               the numbers of the descriptors, where they are inherited
 * ```
 *
 * Descriptors, endpoint by endpoint (its sockets, then the probe) and then one for each link, go
 * beside the message (SCM_RIGHTS) or, at birth, are there already under the numbers told.
 * @module
 */
import { LINKS_MAX } from '../../limits.ts';
import { ENDPOINTS_MAX } from '../segment.ts';
import { SOCKETS_MAX } from './links.ts';

/** A link by its number and its incarnation. */
export type LinkName = { id: number; incarnation: number };

/** An endpoint that comes, with its sockets. */
export type EndpointGrant = {
  index: number;
  incarnation: number;
  sockets: readonly number[];
  /** A socket that is only connected, to ask what the way to a host carries; −1 = none was to be had. */
  probe: number;
};

/** A link that comes, with its device. */
export type LinkGrant = LinkName & { device: number };

export type LinkChange = {
  /** Counted up by control: what a process has served last it writes beside its heartbeat. */
  sequence: number;
  left: readonly LinkName[];
  endpoints: readonly EndpointGrant[];
  links: readonly LinkGrant[];
};

const HEADER_WORDS = 5;
const NAME_WORDS = 2;
const ENDPOINT_WORDS = 4;
/** Longest message, bytes: everything at once, with its descriptors' numbers. */
export const LINK_CHANGE_BYTES_MAX =
  4 *
  (HEADER_WORDS + ENDPOINTS_MAX * (ENDPOINT_WORDS + SOCKETS_MAX + 1) + LINKS_MAX * 3 * NAME_WORDS);

/** The descriptors that a change brings, in their order. */
export function descriptorsOf({ endpoints, links }: LinkChange): number[] {
  return [
    ...endpoints.flatMap(({ sockets, probe }) => (probe < 0 ? sockets : [...sockets, probe])),
    ...links.map(({ device }) => device),
  ];
}

/** @param inherited the descriptors are the reader's already, under these numbers */
export function encodeLinkChange(change: LinkChange, inherited: boolean): Uint8Array<ArrayBuffer> {
  const { sequence, left, endpoints, links } = change;
  const words = [
    ...[sequence, inherited ? 1 : 0, left.length, endpoints.length, links.length],
    ...left.flatMap(({ id, incarnation }) => [id, incarnation]),
    ...endpoints.flatMap(({ index, incarnation, sockets, probe }) => [
      ...[index, incarnation, sockets.length, probe < 0 ? 0 : 1],
    ]),
    ...links.flatMap(({ id, incarnation }) => [id, incarnation]),
    ...(inherited ? descriptorsOf(change) : []),
  ];
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setInt32(i * 4, word, true);
  return bytes;
}

/**
 * Reads a message with the descriptors that came beside it. Undefined when it is not whole: words
 * are missing, or some of the descriptors.
 */
export function decodeLinkChange(
  bytes: Uint8Array,
  beside: readonly number[],
): LinkChange | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const words = Array.from({ length: bytes.length >> 2 }, (_, i) => view.getInt32(i * 4, true));
  const [sequence = 0, inherited = 0, leaving = -1, endpointCount = -1, linkCount = -1] = words;
  if (Math.min(leaving, endpointCount, linkCount) < 0) return undefined;
  if (Math.max(leaving, linkCount) > LINKS_MAX || endpointCount > ENDPOINTS_MAX) return undefined;
  const endpointsAt = HEADER_WORDS + leaving * NAME_WORDS;
  const linksAt = endpointsAt + endpointCount * ENDPOINT_WORDS;
  const end = linksAt + linkCount * NAME_WORDS;
  if (end > words.length) return undefined;
  const word = (at: number): number => words[at] ?? 0;
  const names = (from: number, count: number): LinkName[] =>
    Array.from({ length: count }, (_, i) => ({
      id: word(from + i * NAME_WORDS),
      incarnation: word(from + i * NAME_WORDS + 1) >>> 0,
    }));
  const descriptors = inherited === 0 ? beside : words.slice(end);
  let used = 0;
  const take = (count: number): readonly number[] => {
    used += count;
    return descriptors.slice(used - count, used);
  };
  const endpoints: EndpointGrant[] = [];
  for (let at = endpointsAt; at < linksAt; at += ENDPOINT_WORDS) {
    const count = word(at + 2);
    if (count < 1 || count > SOCKETS_MAX) return undefined;
    endpoints.push({
      index: word(at),
      incarnation: word(at + 1) >>> 0,
      sockets: take(count),
      probe: word(at + 3) === 0 ? -1 : (take(1)[0] ?? -1),
    });
  }
  const links = names(linksAt, linkCount).map((name) => ({ ...name, device: take(1)[0] ?? -1 }));
  if (used !== descriptors.length) return undefined;
  return { sequence, left: names(HEADER_WORDS, leaving), endpoints, links };
}
