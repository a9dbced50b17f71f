/**
 * What becomes of a packet at both of its ends, on the admin socket and between hosts.
 * @module
 */
import { post } from '../call.ts';
import { count, fields, list, type ReadBy, type Reader, text, word } from '../reader.ts';

/** Facts of one end, and links that are asked about, at most. */
const FACTS_MAX = 16;
export const END_LINKS_MAX = 4;

/** One thing that decides about a packet, and who or what says so: an entry, a rule, a setting. */
const fact = fields({ what: text, value: text, by: text });
export type Fact = ReadBy<typeof fact>;

/** What one end finds of it. */
export const finding = fields({
  /** In the order in which a packet meets them. */
  facts: list(fact, FACTS_MAX),
  /** Why it goes no further; '' = it does. */
  dies: text,
  /** Where that is counted; '' = nowhere. */
  counter: text,
});
export type Finding = ReadBy<typeof finding>;

/** One end of one link. */
const end = fields({
  /** `local`: both ends are on one host, and no tunnel is between. */
  side: word('leaves', 'arrives', 'local'),
  kind: word('network', 'fan'),
  /** A network's name, or a fan's overlay. */
  link: text,
  /** Underlay address, and node id and name as far as they are known. */
  host: text,
  member: text,
  name: text,
  /** Why that host said nothing; '' when it did. */
  problem: text,
  finding,
});
export type EndJson = ReadBy<typeof end>;

/** `from` '' = whoever sends it from this host. `to`: an address or a MAC. */
export type EndsRequest = { from: string; to: string; protocol: number; port: number };

export const endsCall = post<EndsRequest, EndJson[]>(
  '/v1/explain/ends',
  fields({ from: text, to: text, protocol: count, port: count }),
  list(end, 2 * END_LINKS_MAX),
);

/** What one host asks another about one end; it travels as JSON. */
export type EndQuestion = EndsRequest & {
  side: 'leaves' | 'arrives';
  kind: 'network' | 'fan';
  /** The network's VNI, or the fan's overlay. */
  vni: number;
  overlay: string;
  /** Underlay address that it leaves from; '' = where the host that is asked has its end. */
  outer: string;
  /** What it is on the wire, `vxlan 4789 100`. */
  wire: string;
};

export const readEndQuestion: Reader<EndQuestion> = fields<EndQuestion>({
  ...{ side: word('leaves', 'arrives'), kind: word('network', 'fan'), vni: count },
  ...{ overlay: text, outer: text, wire: text, from: text, to: text },
  ...{ protocol: count, port: count },
});

/** The answer to it; `problem` '' = there is one. */
export const endAnswer = fields({ problem: text, finding });
