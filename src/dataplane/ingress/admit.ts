/**
 * Which inner frames of a peer may go to the device: each kind meets its own checks.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { ARP_BYTES } from '../../wire/arp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
  isGroupSource,
} from '../../wire/ethernet.ts';
import { getIpVersion, IPV4_HEADER_BYTES } from '../../wire/ipv4.ts';
import { ETHERTYPE_PATH_PROBE, isProbeFrame } from '../../wire/lan/path-probe.ts';
import type { Neighbours } from '../answer/neighbours.ts';
import type { DataLink } from '../ground/link.ts';
import { type Arrival, NO_CELL } from '../packet/arrival.ts';
import { judgeArp } from './arp.ts';
import type { Coalescer } from './deliver/coalesce.ts';
import { IpIngress, type IpIngressParts } from './ip.ts';
import type { PathProbes } from './path-probes.ts';

const BAD_HEADER = ingressIndex('drop.bad_header');
const WRONG_VNI = ingressIndex('drop.wrong_vni');
const RUNT = ingressIndex('drop.runt');
const UNKNOWN_ETHERTYPE = ingressIndex('drop.unknown_ethertype');
const IPV6 = ingressIndex('drop.ipv6');
const BAD_MAC = ingressIndex('drop.bad_mac');

/** What the frames of each kind go to. */
export type AdmitParts = IpIngressParts & { probes: PathProbes };

export class Admit {
  readonly #parts: AdmitParts;
  readonly #view: DataView;
  readonly #arrival: Arrival;
  readonly #coalescer: Coalescer;
  readonly #ip: IpIngress;
  readonly #neighbours: Neighbours;

  constructor(parts: AdmitParts) {
    this.#parts = parts;
    this.#view = parts.arena.view;
    this.#ip = new IpIngress(parts);
    this.#neighbours = parts.neighbours;
    this.#arrival = parts.arrival;
    this.#coalescer = parts.coalescer;
  }

  /** Decides about the inner frame (bridged) or packet (routed) in hand, of a peer of a fan. */
  frame(link: DataLink): void {
    const view = this.#view;
    const arrival = this.#arrival;
    const { frame, end, l3, nowMs } = arrival;
    if (link.innerHeaderBytes !== 0) {
      if (end - frame < ETHERNET_HEADER_BYTES) return arrival.drop(link, RUNT);
      if (isGroupSource(view, frame) || link.claimsLocalMac(view, frame, nowMs)) {
        return arrival.drop(link, BAD_MAC);
      }
      const etherType = getEtherType(view, frame);
      if (etherType !== ETHERTYPE_IPV4) return this.#notIpv4(link, etherType);
    }
    if (end - l3 < IPV4_HEADER_BYTES) return arrival.drop(link, RUNT);
    if (getIpVersion(view, l3) === 6) {
      // What says that it is IPv4 must not carry it.
      const isLie = link.innerHeaderBytes !== 0 || arrival.versionInside === 4;
      return isLie ? arrival.drop(link, IPV6) : this.#ip.six(link);
    }
    if (link.innerHeaderBytes === 0 && isProbeFrame(view, frame, end - frame)) {
      return this.#parts.probes.take(link, arrival);
    }
    if (arrival.versionInside === 6) return arrival.drop(link, BAD_HEADER);
    if (link.shim.hasVni && arrival.vni !== link.vni) return arrival.drop(link, WRONG_VNI);
    this.#ip.four(link);
  }

  #notIpv4(link: DataLink, etherType: number): void {
    const arrival = this.#arrival;
    if (etherType === ETHERTYPE_IPV6) return this.#ip.six(link);
    if (link.shim.hasVni && arrival.vni !== link.vni) return arrival.drop(link, WRONG_VNI);
    if (etherType === ETHERTYPE_ARP) return this.#arp(link);
    if (etherType === ETHERTYPE_PATH_PROBE) return this.#parts.probes.take(link, arrival);
    return arrival.drop(link, UNKNOWN_ETHERTYPE);
  }

  #arp(link: DataLink): void {
    const arrival = this.#arrival;
    const { l3, end } = arrival;
    const counter = judgeArp(link, this.#view, l3, end - l3, arrival.name);
    if (counter >= 0) return arrival.drop(link, counter);
    this.#neighbours.noteTalker(link, l3, arrival.nowMs);
    this.#plain(link, ETHERNET_HEADER_BYTES + ARP_BYTES);
  }

  /** Hands `byteCount` bytes to the device as they are: nothing is joined to them. */
  #plain(link: DataLink, byteCount: number): void {
    this.#arrival.cell = NO_CELL;
    this.#coalescer.pushPlain(link, this.#arrival.frame, byteCount);
  }
}
