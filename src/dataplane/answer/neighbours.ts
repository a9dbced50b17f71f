/**
 * What keeps the ARP caches of the overlay true without a broadcast in the underlay:
 *
 * - a container that announces its address (gratuitous ARP, RFC 5227 §3) is heard by those who
 *   know an older MAC of it: each gets an answer of its own, as if it had asked;
 * - a container that does not answer may have been made anew with another MAC, and said nothing.
 *   Then its address is asked for on the bridge in the name of whoever sent to it, and the answer
 *   goes the way of all answers.
 *
 * Both are bounded in memory and in time, and counted.
 * @module
 */
import { egressIndex, eventIndex } from '../../table/counters.ts';
import { TALKERS_MAX, Talkers } from '../../table/talkers.ts';
import {
  ARP_BYTES,
  ARP_REPLY,
  ARP_REQUEST,
  ARP_SENDER_MAC_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  emitArp,
  getArpSenderAddress,
  getArpSenderMac,
  getArpTargetAddress,
  setArpTarget,
} from '../../wire/arp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  emitEthernet,
  getEthernetSource,
} from '../../wire/ethernet.ts';
import { emitVirtioNetPlain, VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Trains } from '../send/trains.ts';

/** Messages of either kind a second, all links together. */
const RATE_PER_SECOND = 1000;
const BURST = 500;
const BROADCAST_MAC = 0xffff_ffff_ffff;
const FRAME_BYTES = ETHERNET_HEADER_BYTES + ARP_BYTES;
const TWO_32 = 0x1_0000_0000;

const RECEIVED = egressIndex('received');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const ASKED = eventIndex('neighbour_asked');
const TOLD = eventIndex('neighbour_told');
const LIMITED = eventIndex('neighbour_limited');

export class Neighbours {
  readonly #arena: Arena;
  readonly #talkers = new Talkers();
  readonly #buffer: number;
  #tokens = BURST;
  #refilledAtMs = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#buffer = arena.allocate(VIRTIO_NET_BYTES + FRAME_BYTES);
  }

  #mayGo(link: DataLink, nowMs: number): boolean {
    const refill = ((nowMs - this.#refilledAtMs) * RATE_PER_SECOND) / 1000;
    this.#tokens = Math.min(BURST, this.#tokens + refill);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) {
      link.counters[LIMITED] = (link.counters[LIMITED] as number) + 1;
      return false;
    }
    this.#tokens--;
    return true;
  }

  /** A link has gone, and its number may become another's. */
  forgetLink(id: number): void {
    this.#talkers.forgetLink(id);
  }

  /** An ARP message, at `arp`, of a peer's container for one of ours: it knows that one's MAC now. */
  noteTalker(link: DataLink, arp: number, nowMs: number): void {
    const { view } = this.#arena;
    const mac = arp + ARP_SENDER_MAC_OFFSET;
    this.#talkers.note(
      link.id,
      getArpTargetAddress(view, arp),
      getArpSenderAddress(view, arp),
      view.getUint16(mac),
      view.getUint32(mac + 2),
      nowMs,
    );
  }

  /**
   * An address that announces itself by the ARP message in the frame at `frame`: whoever has spoken
   * with it gets an answer, appended to `trains`. Each counts as a packet of its own.
   */
  tell(link: DataLink, frame: number, trains: Trains, nowMs: number): void {
    const { view } = this.#arena;
    const arp = frame + ETHERNET_HEADER_BYTES;
    const address = getArpSenderAddress(view, arp);
    let told = 0;
    for (let place = 0; place < TALKERS_MAX; place++) {
      place = this.#talkers.take(link.id, address, place, nowMs);
      if (place < 0) break;
      const { talker, macHigh, macLow } = this.#talkers;
      trains.ensureRoom(1, nowMs);
      const start = trains.takeScratch(1);
      const copy = start + link.shimBytes;
      const mac = macHigh * TWO_32 + macLow;
      link.shim.emitShim(view, start, link.vni);
      emitEthernet(view, copy, mac, getEthernetSource(view, frame), ETHERTYPE_ARP);
      const sender = getArpSenderMac(view, arp);
      const reply = copy + ETHERNET_HEADER_BYTES;
      emitArp(view, reply, ARP_REPLY, sender, address);
      setArpTarget(view, reply, mac, talker);
      const target = reply + ARP_TARGET_ADDRESS_OFFSET;
      const peer = link.route.to(view, target);
      // It may have moved since, even to this very host.
      if (peer < 0) continue;
      if (!this.#mayGo(link, nowMs)) break;
      const { ways } = link;
      const to = ways === undefined ? peer : ways.usual(peer, nowMs);
      const socket = (ways ?? link).endpoint.sockets[0] as number;
      trains.append(link, to, socket, 0, start, link.shimBytes + FRAME_BYTES);
      told++;
    }
    link.counters[TOLD] = (link.counters[TOLD] as number) + told;
    if (told > 0) {
      link.counters[RECEIVED] = (link.counters[RECEIVED] as number) + told - 1;
    } else {
      // The bridge has shown it to all who are here.
      link.counters[LOCAL_DESTINATION] = (link.counters[LOCAL_DESTINATION] as number) + 1;
    }
  }

  /** A frame of a peer's container for one of ours, which may not have this MAC any more. */
  noteFrame(
    link: DataLink,
    frame: number,
    source: number,
    destination: number,
    nowMs: number,
  ): void {
    if (!link.isUnanswered(this.#arena.view, frame, nowMs)) return;
    this.#ask(link, frame, source, destination, nowMs);
  }

  /**
   * Asks on the bridge for `address` in the name of `asker`, whose Ethernet frame, at `frame`, found
   * nobody who answers.
   */
  #ask(link: DataLink, frame: number, asker: number, address: number, nowMs: number): void {
    if (!this.#mayGo(link, nowMs)) return;
    const { view } = this.#arena;
    let start = this.#buffer + VIRTIO_NET_BYTES;
    const mac = getEthernetSource(view, frame);
    emitEthernet(view, start, BROADCAST_MAC, mac, ETHERTYPE_ARP);
    emitArp(view, start + ETHERNET_HEADER_BYTES, ARP_REQUEST, mac, asker);
    setArpTarget(view, start + ETHERNET_HEADER_BYTES, 0, address);
    let length = FRAME_BYTES;
    if (link.vnetHeader) {
      start -= VIRTIO_NET_BYTES;
      length += VIRTIO_NET_BYTES;
      emitVirtioNetPlain(view, start);
    }
    if (link.device.writePiece(start, length) === length) {
      link.counters[ASKED] = (link.counters[ASKED] as number) + 1;
    }
  }
}
