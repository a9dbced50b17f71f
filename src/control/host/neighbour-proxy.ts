/**
 * Neighbour Discovery answered on a routed fan (RFC 4861 §7.2.8, RFC 4389): a container takes for near what
 * has the prefix of its own network, also when that has moved to another host, and asks on the bridge, where
 * nobody has it. The host says its own MAC for every address of the overlay that its routes lead elsewhere,
 * as the kernel does for ARP (`proxy_arp`); for IPv6 the kernel wants each address by name, and takes no
 * prefixes.
 *
 * Whoever has the address speaks louder: our answers do not override. Duplicate address detection is not
 * answered, so that what comes home may take its address before everybody has heard of it.
 * @module
 */
import { messageOf } from '../../errors.ts';
import { contains6, type Ipv6, wordsOfIpv6 } from '../../net/prefix6.ts';
import type { Route6 } from '../../sys/netlink/netlink.ts';
import { BPF, BPF_ACCEPT, type BpfInstruction } from '../../sys/sockets/bpf.ts';
import { PacketSocket } from '../../sys/sockets/packet-socket.ts';
import { checkIpv6, Fault } from '../../wire/classify.ts';
import { getMac, isGroupSource, setMac } from '../../wire/ethernet.ts';
import { getIcmpType } from '../../wire/icmp.ts';
import { PROTOCOL_ICMPV6 } from '../../wire/ipv4.ts';
import {
  getIpv6NextHeader,
  getIpv6PayloadBytes,
  IPV6_HEADER_BYTES,
  isIpv6SourceUnspecified,
} from '../../wire/ipv6.ts';
import { checkNeighbour, ND_NEIGHBOUR_SOLICIT, ndTarget } from '../../wire/six/nd.ts';
import {
  emitNeighbourAdvert,
  ND_ROUTER,
  NEIGHBOUR_ADVERT_PACKET_BYTES,
} from '../../wire/six/nd-link.ts';
import type { AdvertSpec } from './host.ts';

/** So often it is looked whether somebody asks, ms: the kernel's own proxy waits up to 800 (`proxy_delay`). */
const LOOK_MS = 100;
/** Questions taken in one look; the others wait in the socket, and whoever gets no answer asks again. */
const QUESTIONS_MAX = 32;
const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV6 = 0x86dd;

/** Frames of IPv6 whose next header is ICMPv6 and whose type is a neighbour solicitation. */
const SOLICITS_ONLY: readonly BpfInstruction[] = [
  [BPF.LOAD_HALF, 0, 0, 12],
  [BPF.JUMP_EQUAL, 0, 5, ETHERTYPE_IPV6],
  [BPF.LOAD_BYTE, 0, 0, 20],
  [BPF.JUMP_EQUAL, 0, 3, PROTOCOL_ICMPV6],
  [BPF.LOAD_BYTE, 0, 0, 54],
  [BPF.JUMP_EQUAL, 0, 1, ND_NEIGHBOUR_SOLICIT],
  [BPF.RETURN, 0, 0, BPF_ACCEPT],
  [BPF.RETURN, 0, 0, 0],
];

/** The route that decides about packets of this host to an address. */
export type RouteTo = (address: Ipv6) => Promise<Route6 | undefined>;

/** The address that a frame asks about, where it is a question that a neighbour answers; undefined otherwise. */
export function askedFor(frame: Uint8Array): Ipv6 | undefined {
  const l3 = ETHERNET_BYTES;
  const message = l3 + IPV6_HEADER_BYTES;
  if (frame.length < message) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== ETHERTYPE_IPV6 || isGroupSource(view, 0)) return undefined;
  if (checkIpv6(view, l3, frame.length - l3) !== Fault.None) return undefined;
  if (getIpv6NextHeader(view, l3) !== PROTOCOL_ICMPV6 || isIpv6SourceUnspecified(view, l3)) {
    return undefined;
  }
  const bytes = getIpv6PayloadBytes(view, l3);
  if (bytes === 0 || getIcmpType(view, message) !== ND_NEIGHBOUR_SOLICIT) return undefined;
  if (checkNeighbour(view, l3, message, bytes) !== Fault.None) return undefined;
  const target = ndTarget(message);
  return wordsOfIpv6(frame.subarray(target, target + 16));
}

/** The answer to a frame that {@link askedFor} knows: its target is at `mac`, a router's. */
export function answerOf(question: Uint8Array, mac: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(question.length + ETHERNET_BYTES + NEIGHBOUR_ADVERT_PACKET_BYTES);
  frame.set(question);
  const view = new DataView(frame.buffer);
  const at = question.length;
  setMac(view, at, getMac(view, 6));
  setMac(view, at + 6, mac);
  view.setUint16(at + 12, ETHERTYPE_IPV6);
  const message = ETHERNET_BYTES + IPV6_HEADER_BYTES;
  emitNeighbourAdvert(view, at + ETHERNET_BYTES, ETHERNET_BYTES, message, mac, ND_ROUTER);
  return frame.subarray(at);
}

/** Answers on one bridge. */
export class NeighbourProxy {
  readonly #spec: AdvertSpec;
  readonly #ifindex: number;
  readonly #routeTo: RouteTo;
  readonly #socket: PacketSocket;
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;
  #isClosed = false;
  /** Why it cannot answer, '' when it can. */
  problem = '';

  /** @throws SystemError */
  constructor(spec: AdvertSpec, ifindex: number, routeTo: RouteTo) {
    this.#spec = spec;
    this.#ifindex = ifindex;
    this.#routeTo = routeTo;
    this.#socket = new PacketSocket(ifindex, SOLICITS_ONLY);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (const { target, question } of this.#questions()) {
        if (!(await this.#isElsewhere(target)) || this.#isClosed) continue;
        this.#socket.send(answerOf(question, this.#spec.mac));
      }
      this.problem = '';
    } catch (error) {
      // The bridge is down or gone: it is looked after elsewhere, and the next look tries again.
      this.problem = messageOf(error);
    } finally {
      this.#isLooking = false;
    }
  }

  /** The questions that wait about addresses of the overlay. @throws SystemError */
  #questions(): { target: Ipv6; question: Uint8Array }[] {
    const found: { target: Ipv6; question: Uint8Array }[] = [];
    for (let i = 0; i < QUESTIONS_MAX && !this.#isClosed; i++) {
      const seen = this.#socket.read();
      if (seen === undefined) break;
      const target = seen.outgoing ? undefined : askedFor(seen.bytes);
      if (target === undefined || !contains6(this.#spec.overlay, target)) continue;
      found.push({ target, question: Uint8Array.from(seen.bytes) });
    }
    return found;
  }

  /** Whether a route of the overlay leads there, and not back to the bridge. */
  async #isElsewhere(target: Ipv6): Promise<boolean> {
    const route = await this.#routeTo(target);
    return (
      route?.isUnicast === true &&
      route.oif !== this.#ifindex &&
      route.dst.length >= this.#spec.overlay.length
    );
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#socket.close();
  }
}
