/**
 * Which packets a capture takes: a small expression in the words of tcpdump.
 *
 *     expression  = term { "or" term }
 *     term        = factor { ["and"] factor }
 *     factor      = "not" factor | "(" expression ")" | test
 *     test        = ["inner" | "outer"] ( ["src" | "dst"] ("host" | "net") ADDRESS[/LENGTH]
 *                   | ["src" | "dst"] "port" PORT[-PORT] | ["proto"] PROTOCOL | "arp" )
 *                 | "vni" N
 *
 * Without `inner` or `outer` a test is about what the overlay carries. It is asked by the process that
 * captures, packet by packet, and costs the router nothing.
 * @module
 */
import { didYouMean } from '../../config/closest.ts';
import { messageOf, usageError } from '../../errors.ts';
import { parseIpv4 } from '../../net/ipv4.ts';
import { parseIpv6 } from '../../net/ipv6.ts';
import { checkIpv4, checkIpv6, Fault, walkIpv6 } from '../../wire/classify.ts';
import { ETHERTYPE_ARP } from '../../wire/ethernet.ts';
import { getIpv4HeaderBytes, getIpv4Protocol, isIpv4Fragment } from '../../wire/ipv4.ts';
import type { Sight } from './sight.ts';

/** Whether a packet is wanted. */
export type CaptureFilter = (sight: Sight) => boolean;

/** Words in one expression: each costs at every packet. */
const WORDS_MAX = 64;
const DEPTH_MAX = 16;
const PORT_MAX = 65_535;
const VNI_MAX = 0xff_ffff;

/** IANA's numbers by the words that people use. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  ...{ icmp: 1, tcp: 6, udp: 17, gre: 47, esp: 50, ah: 51, icmp6: 58, sctp: 132 },
};
const SIDES = ['inner', 'outer'] as const;
const ENDS = ['src', 'dst'] as const;
type Side = (typeof SIDES)[number];
type End = (typeof ENDS)[number];
const NOUNS = ['host', 'net', 'port', 'proto', 'arp', 'ip', 'ip6', 'vni', 'not', 'and', 'or'];

function isOneOf<T extends string>(words: readonly T[], word: string): word is T {
  return words.some((each) => each === word);
}

const layerOf = (sight: Sight, side: Side): number =>
  side === 'inner' ? sight.inner : sight.outer;
const versionAt = ({ view }: Sight, at: number): number =>
  at < 0 || at >= view.byteLength ? 0 : view.getUint8(at) >>> 4;

/** Protocol and offset of the transport header; −1 for the offset where there is none to read. */
export function transportOf(sight: Sight, at: number): { protocol: number; offset: number } {
  const { view } = sight;
  const length = view.byteLength - at;
  const none = { protocol: -1, offset: -1 };
  switch (versionAt(sight, at)) {
    case 4: {
      // A captured packet may be cut short: what is there of its headers counts.
      const fault = checkIpv4(view, at, length);
      if (fault !== Fault.None && fault !== Fault.TotalLength) return none;
      const protocol = getIpv4Protocol(view, at);
      return {
        protocol,
        offset: isIpv4Fragment(view, at) ? -1 : at + getIpv4HeaderBytes(view, at),
      };
    }
    case 6: {
      if (checkIpv6(view, at, length) !== Fault.None) return none;
      const walked = walkIpv6(view, at);
      return walked < 0 ? none : { protocol: walked >>> 16, offset: at + (walked & 0xffff) };
    }
    default:
      return none;
  }
}

type Net = { bytes: Uint8Array; length: number };

function isInside({ view }: Sight, at: number, { bytes, length }: Net): boolean {
  if (at + bytes.length > view.byteLength) return false;
  for (let bit = 0; bit < length; bit += 8) {
    const mask = length - bit >= 8 ? 0xff : (0xff << (8 - (length - bit))) & 0xff;
    if (((view.getUint8(at + bit / 8) ^ (bytes[bit / 8] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

function hostTest(side: Side, ends: readonly End[], net: Net): CaptureFilter {
  const isSix = net.bytes.length === 16;
  const offsets = ends.map((end) => (end === 'src' ? 0 : net.bytes.length) + (isSix ? 8 : 12));
  return (sight) => {
    const at = layerOf(sight, side);
    if (versionAt(sight, at) !== (isSix ? 6 : 4)) return false;
    return offsets.some((offset) => isInside(sight, at + offset, net));
  };
}

function portTest(side: Side, ends: readonly End[], first: number, last: number): CaptureFilter {
  return (sight) => {
    const { protocol, offset } = transportOf(sight, layerOf(sight, side));
    const hasPorts =
      protocol === PROTOCOLS['tcp'] ||
      protocol === PROTOCOLS['udp'] ||
      protocol === PROTOCOLS['sctp'];
    if (!hasPorts || offset < 0 || offset + 4 > sight.view.byteLength) return false;
    return ends.some((end) => {
      const port = sight.view.getUint16(offset + (end === 'src' ? 0 : 2));
      return port >= first && port <= last;
    });
  };
}

function arpTest({ view, frame }: Sight): boolean {
  return (
    frame >= 0 && frame + 14 <= view.byteLength && view.getUint16(frame + 12) === ETHERTYPE_ARP
  );
}

class Parser {
  readonly #words: string[];
  #at = 0;
  #depth = 0;
  /** Some test looks at what only packets of the underlay have. */
  needsOuter = false;

  constructor(text: string) {
    this.#words = text
      .replaceAll(/([()])/g, ' $1 ')
      .split(/\s+/)
      .filter(Boolean);
    if (this.#words.length === 0) this.#fail('it is empty');
    if (this.#words.length > WORDS_MAX) this.#fail(`it has more than ${WORDS_MAX} words`);
  }

  #fail(why: string): never {
    throw usageError(
      'filter',
      `the filter cannot be read: ${why}. Such are: host 250.1.27.10 and tcp port 443, not arp, vni 100 and icmp, outer dst host 172.30.1.27`,
    );
  }

  /** @throws FanwayError (exit code 2) that says where. */
  parse(): CaptureFilter {
    const filter = this.#expression();
    const rest = this.#words[this.#at];
    if (rest !== undefined) this.#fail(`${JSON.stringify(rest)} is one word too many`);
    return filter;
  }

  #take(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }

  #next(what: string): string {
    const word = this.#words[this.#at++];
    return word ?? this.#fail(`${what} is missing at its end`);
  }

  #expression(): CaptureFilter {
    const terms = [this.#term()];
    while (this.#take('or')) terms.push(this.#term());
    return terms.length === 1 ? first(terms) : (sight) => terms.some((term) => term(sight));
  }

  #term(): CaptureFilter {
    const factors = [this.#factor()];
    for (;;) {
      const word = this.#words[this.#at];
      if (word === undefined || word === 'or' || word === ')') break;
      this.#take('and');
      factors.push(this.#factor());
    }
    return factors.length === 1 ? first(factors) : (sight) => factors.every((each) => each(sight));
  }

  #factor(): CaptureFilter {
    if (++this.#depth > DEPTH_MAX) this.#fail(`it is nested more than ${DEPTH_MAX} deep`);
    try {
      if (this.#take('not')) {
        const factor = this.#factor();
        return (sight) => !factor(sight);
      }
      if (!this.#take('(')) return this.#test();
      const inside = this.#expression();
      if (!this.#take(')')) this.#fail('a ) is missing');
      return inside;
    } finally {
      this.#depth--;
    }
  }

  #test(given: Side = 'inner'): CaptureFilter {
    let word = this.#next('a test');
    let side = given;
    let ends: readonly End[] = ENDS;
    if (isOneOf(SIDES, word)) {
      side = word;
      if (side === 'outer') this.needsOuter = true;
      word = this.#next(`what is ${side}`);
    }
    // tcpdump's habit: the protocol may stand before the port.
    const protocol = PROTOCOLS[word];
    if (protocol !== undefined) return this.#protocolAndMore(side, protocol);
    if (isOneOf(ENDS, word)) {
      ends = [word];
      word = this.#next(`host or port after ${word}`);
    }
    switch (word) {
      case 'host':
      case 'net':
        return hostTest(side, ends, this.#net());
      case 'port':
        return portTest(side, ends, ...this.#ports());
      case 'proto':
        return this.#protocol(side, this.#number('a protocol', 255, PROTOCOLS));
      case 'arp':
        return arpTest;
      case 'ip':
        return (sight) => versionAt(sight, layerOf(sight, side)) === 4;
      case 'ip6':
        return (sight) => versionAt(sight, layerOf(sight, side)) === 6;
      case 'vni': {
        this.needsOuter = true;
        const vni = this.#number('a VNI', VNI_MAX);
        return (sight) => sight.vni === vni;
      }
      default:
        return this.#fail(
          `${JSON.stringify(word)} is no test${didYouMean(word, [...NOUNS, ...Object.keys(PROTOCOLS)])}`,
        );
    }
  }

  /** `outer udp port 53` is all about the outside. */
  #protocolAndMore(side: Side, protocol: number): CaptureFilter {
    const isIt = this.#protocol(side, protocol);
    const goesOn = [...ENDS, 'host', 'net', 'port'].includes(this.#words[this.#at] ?? '');
    if (side === 'inner' || !goesOn) return isIt;
    const rest = this.#test(side);
    return (sight) => isIt(sight) && rest(sight);
  }

  #protocol(side: Side, protocol: number): CaptureFilter {
    return (sight) => transportOf(sight, layerOf(sight, side)).protocol === protocol;
  }

  #number(what: string, max: number, names: Readonly<Record<string, number>> = {}): number {
    const word = this.#next(what);
    const named = Object.hasOwn(names, word) ? names[word] : undefined;
    if (named !== undefined) return named;
    const value = /^[0-9]{1,8}$/.test(word) ? Number(word) : -1;
    if (value < 0 || value > max) this.#fail(`${what} is a number up to ${max}, not ${word}`);
    return value;
  }

  #ports(): [number, number] {
    const word = this.#next('a port');
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(word);
    const low = Number(match?.[1] ?? -1);
    const high = Number(match?.[2] ?? low);
    if (low < 0 || high > PORT_MAX || high < low)
      this.#fail(`${word} is no port, and no PORT-PORT`);
    return [low, high];
  }

  #net(): Net {
    const word = this.#next('an address');
    const [address = '', lengthText] = word.split('/');
    try {
      const bytes = address.includes(':') ? parseIpv6(address) : ipv4Bytes(parseIpv4(address));
      const length = lengthText === undefined ? bytes.length * 8 : Number(lengthText);
      if (!/^[0-9]{1,3}$/.test(lengthText ?? '0') || length > bytes.length * 8) {
        throw new Error(`${word} has no such prefix length`);
      }
      return { bytes, length };
    } catch (error) {
      return this.#fail(messageOf(error));
    }
  }
}

function ipv4Bytes(address: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, address);
  return bytes;
}

function first(filters: readonly CaptureFilter[]): CaptureFilter {
  return filters[0] ?? (() => true);
}

/**
 * Reads an expression.
 * @param side what is captured: a test of what only the underlay's packets have is refused on `inner`
 * @throws FanwayError (exit code 2)
 */
export function parseFilter(text: string, side: Side): CaptureFilter {
  const parser = new Parser(text);
  const filter = parser.parse();
  if (parser.needsOuter && side === 'inner') {
    throw usageError(
      'filter',
      'outer and vni are about packets of the underlay: add --outer to the command',
    );
  }
  return filter;
}
