/**
 * One link with several underlays as control watches it: a socket on each, and the ways to every peer
 * that packets go to.
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { LinkUnderlay } from '../../../api/status.ts';
import { ENCAPS } from '../../../encap/encap.ts';
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import {
  compareHosts,
  formatHostAddress,
  holdsHost,
  sameHostIn,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import {
  EADDRNOTAVAIL,
  EHOSTUNREACH,
  EINVAL,
  ENETDOWN,
  ENETUNREACH,
} from '../../../sys/libc/constants.ts';
import { EchoSocket } from '../../../sys/sockets/echo-socket.ts';
import { ProbeSocket } from '../../../sys/sockets/probe-socket.ts';
import { getEtherType } from '../../../wire/ethernet.ts';
import {
  ETHERTYPE_PATH_PROBE,
  emitPathProbe,
  PATH_ANSWER_WORDS,
  PATH_PROBE_BYTES,
  PATH_PROBE_TOKEN_BYTES,
  ProbeKind,
  pathProbeKind,
  pathProbeToken,
} from '../../../wire/lan/path-probe.ts';
import { type AnySpec, underlaysOf } from '../../store/link-spec.ts';
import { LinkHomes } from './homes.ts';
import { PeerWays, SILENCE_MS, type WatchedWay } from './peer-ways.ts';

/** A peer that packets go to is asked so often on each underlay, ms; all of them together no more often. */
const ASK_MS = 40;
const ASKS_PER_MS = 2;
/** One that none have gone to for a moment, and for a minute; and when it is forgotten. */
const BUSY_FOR_MS = 2000;
const ASK_QUIET_MS = 250;
const QUIET_FOR_MS = 60_000;
const ASK_IDLE_MS = 1000;
const FORGET_MS = 900_000;
/** Peers of a link that are watched; others are reached by the first underlay. */
const PEERS_MAX = 1024;
const PEERS_SHOWN_MAX = 64;
/** Answers that are taken at a time. */
const ANSWERS_MAX = 4096;

/** What a send says where there is no route, or our own address is not here any more. */
const NO_WAY = new Set([EADDRNOTAVAIL, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH]);

type Peer = { ways: PeerWays; usedAtMs: number; askedAtMs: number; usable: number };

/** What is known of devices: those without a carrier, the MTU of each, and that of paths to addresses. */
export type Devices = {
  dark: ReadonlySet<string>;
  mtus: ReadonlyMap<string, number>;
  paths: ReadonlyMap<UnderlayAddress, number>;
};

export class WatchedLink {
  readonly spec: AnySpec;
  readonly #devices: readonly string[];
  readonly #locals: readonly UnderlayAddress[];
  #homes: LinkHomes;
  readonly #sockets: (ProbeSocket | undefined)[];
  readonly #peers = new Map<UnderlayAddress, Peer>();
  readonly #question: Buffer;
  readonly #shimBytes: number;
  #changes = new Map<string, UnderlayAddress[]>();

  constructor(spec: AnySpec, log: Log) {
    this.spec = spec;
    const further = spec.further ?? [];
    const underlays = underlaysOf(spec);
    this.#devices = [spec.underlayDevice ?? '', ...further.map(({ device }) => device)];
    this.#locals = underlays.map(({ local }) => local);
    this.#homes = new LinkHomes(spec);
    this.#sockets = this.#locals.map((address) => openSocket(address, spec, log));
    const { emitShim, shimBytes } = ENCAPS[spec.encap];
    this.#shimBytes = shimBytes;
    this.#question = Buffer.alloc(shimBytes + PATH_PROBE_BYTES);
    emitShim(viewOf(this.#question), 0, spec.vni);
  }

  /** How the first underlay is called. */
  get first(): string {
    return this.#devices[0] ?? '';
  }

  isOf(spec: AnySpec): boolean {
    return (
      spec.name === this.spec.name &&
      spec.local === this.spec.local &&
      spec.vni === this.spec.vni &&
      spec.port === this.spec.port &&
      spec.further === this.spec.further
    );
  }

  has(device: string): boolean {
    return this.#devices.includes(device);
  }

  close(): void {
    for (const socket of this.#sockets) socket?.close();
  }

  /** Packets went to `peer` at `usedAtMs`. */
  used(peer: UnderlayAddress, usedAtMs: number, nowMs: number, dark: ReadonlySet<string>): void {
    if (!holdsHost(this.spec.underlay, peer) || this.#locals.includes(peer)) return;
    const known = this.#peers.get(peer);
    if (known !== undefined) {
      known.usedAtMs = Math.max(known.usedAtMs, usedAtMs);
      return;
    }
    if (nowMs - usedAtMs > FORGET_MS || this.#peers.size >= PEERS_MAX) return;
    const ways = new PeerWays(this.#locals.length, this.spec.underlayMode === 'latency', nowMs);
    for (const [i, device] of this.#devices.entries()) {
      if (this.#homes.addressOn(i, peer) === undefined) ways.ways[i]?.lose('withdrawn', nowMs);
      if (dark.has(device)) ways.ways[i]?.lose('carrier', nowMs);
    }
    this.#peers.set(peer, { ways, usedAtMs, askedAtMs: Number.NEGATIVE_INFINITY, usable: 1 });
  }

  /** Peers may be elsewhere from now on: what was known of a way to another address is not of this one. */
  moved(homes: LinkHomes, nowMs: number): void {
    const before = this.#homes;
    this.#homes = homes;
    for (const [peer, { ways }] of this.#peers) {
      for (const underlay of ways.ways.keys()) {
        const address = homes.addressOn(underlay, peer);
        if (address === before.addressOn(underlay, peer)) continue;
        ways.forget(underlay, nowMs);
        if (address === undefined) ways.ways[underlay]?.lose('withdrawn', nowMs);
      }
    }
  }

  carrierIs(device: string, isThere: boolean, nowMs: number): void {
    const underlay = this.#devices.indexOf(device);
    for (const { ways } of this.#peers.values()) {
      if (isThere) ways.ways[underlay]?.carrierIsBack();
      else ways.ways[underlay]?.lose('carrier', nowMs);
    }
  }

  /** Asks whom it is time to ask; whether packets go to anybody now. */
  ask(nowMs: number): boolean {
    let isBusy = false;
    const busyMs = Math.max(ASK_MS, (this.#peers.size * this.#locals.length) / ASKS_PER_MS);
    for (const [peer, state] of this.#peers) {
      const quietMs = nowMs - state.usedAtMs;
      if (quietMs > FORGET_MS) {
        this.#peers.delete(peer);
        continue;
      }
      if (quietMs <= BUSY_FOR_MS) isBusy = true;
      const gapMs =
        quietMs <= BUSY_FOR_MS ? busyMs : quietMs <= QUIET_FOR_MS ? ASK_QUIET_MS : ASK_IDLE_MS;
      // Looks come a little early or late: half a look is no reason to leave one out.
      if (nowMs - state.askedAtMs < gapMs - 5) continue;
      state.askedAtMs = nowMs;
      for (const [underlay, way] of state.ways.ways.entries()) {
        this.#askBy(underlay, way, peer, nowMs);
      }
    }
    return isBusy;
  }

  #askBy(underlay: number, way: WatchedWay, peer: UnderlayAddress, nowMs: number): void {
    const socket = this.#sockets[underlay];
    const to = this.#homes.addressOn(underlay, peer);
    if (socket === undefined || to === undefined) return;
    const token = randomBytes(PATH_PROBE_TOKEN_BYTES);
    emitPathProbe(viewOf(this.#question), this.#shimBytes, underlay, token);
    const error = socket.send(to, this.spec.port, this.#question);
    if (error === 0) way.asked(token.toString('hex'), nowMs);
    else if (NO_WAY.has(error)) way.lose('unreachable', nowMs);
  }

  /** Takes the answers that have come. */
  hear(nowMs: number): void {
    const clockMs = EchoSocket.nowMs();
    for (const [underlay, socket] of this.#sockets.entries()) {
      for (let i = 0; socket !== undefined && i < ANSWERS_MAX; i++) {
        const answer = socket.receive();
        if (answer === undefined) break;
        const { bytes, from, port, atMs } = answer;
        const peer = this.#homes.peerAt(underlay, from);
        if (port !== this.spec.port || peer === undefined) continue;
        const token = this.#tokenOf(bytes);
        // The kernel's stamp is on the clock of the day: how long ago that was counts.
        const agoMs = Math.min(Math.max(0, clockMs - atMs), 1000);
        const way = this.#peers.get(peer)?.ways.ways[underlay];
        if (token !== undefined) way?.answered(token, nowMs - agoMs);
      }
    }
  }

  #tokenOf(bytes: Buffer): string | undefined {
    const [view, at] = [viewOf(bytes), this.#shimBytes];
    const length = bytes.length - at;
    if (length < PATH_PROBE_BYTES || getEtherType(view, at) !== ETHERTYPE_PATH_PROBE) {
      return undefined;
    }
    if (pathProbeKind(view, at, length) !== ProbeKind.Answer) return undefined;
    return Buffer.from(pathProbeToken(bytes, at)).toString('hex');
  }

  /** What has changed, and by which underlays each peer is reached: usable ones as bits, the preferred one. */
  look(nowMs: number): {
    isNews: boolean;
    reaches: Map<UnderlayAddress, [usable: number, preferred: number]>;
    changes: ReadonlyMap<string, UnderlayAddress[]>;
  } {
    let isNews = false;
    const reaches = new Map<UnderlayAddress, [number, number]>();
    this.#changes = new Map();
    for (const [peer, state] of this.#peers) {
      const before = state.ways.preferred;
      const usable = state.ways.look(nowMs);
      if (usable !== state.usable || state.ways.preferred !== before) isNews = true;
      this.#noteChanges(peer, state, usable);
      state.usable = usable;
      reaches.set(peer, [usable, state.ways.preferred]);
    }
    return { isNews, reaches, changes: this.#changes };
  }

  #noteChanges(peer: UnderlayAddress, { ways, usable: before }: Peer, usable: number): void {
    for (const [i, { state, cause }] of ways.ways.entries()) {
      const bit = 1 << i;
      if ((before & bit) === (usable & bit)) continue;
      const isThere = (usable & bit) !== 0;
      const why = state === 'lost' ? ` (${cause})` : '';
      const what = `${isThere ? 'reached' : 'not reached'} by ${this.#devices[i]}${why}`;
      this.#changes.set(what, [...(this.#changes.get(what) ?? []), peer]);
    }
  }

  /** What the path carries, else what our device does. */
  #mtuTo(underlay: number, peer: UnderlayAddress, { mtus, paths }: Devices): number {
    const address = this.#homes.addressOn(underlay, peer);
    const path = address === undefined ? 0 : (paths.get(address) ?? 0);
    return path || (mtus.get(this.#devices[underlay] ?? '') ?? 0);
  }

  #foundBy(underlay: number, isMember: boolean): LinkUnderlay['found'] {
    const { local } = this.spec;
    const network = underlaysOf(this.spec)[underlay]?.underlay ?? this.spec.underlay;
    if (sameHostIn(network, local) === this.#locals[underlay]) return 'arithmetic';
    return isMember ? 'gossip' : 'nobody';
  }

  /** '' = it says that it has none there. */
  #addressText(underlay: number, peer: UnderlayAddress): string {
    const address = this.#homes.addressOn(underlay, peer);
    return address === undefined ? '' : formatHostAddress(address);
  }

  status(nowMs: number, devices: Devices, isMember: boolean): LinkUnderlay[] {
    const peers = [...this.#peers].sort(([a], [b]) => compareHosts(a, b)).slice(0, PEERS_SHOWN_MAX);
    return this.#locals.map((local, underlay) => ({
      device: this.#devices[underlay] ?? '',
      address: `${formatHostAddress(local)}/${this.spec.underlay.length}`,
      carrier: !devices.dark.has(this.#devices[underlay] ?? ''),
      mtu: devices.mtus.get(this.#devices[underlay] ?? '') ?? 0,
      found: this.#foundBy(underlay, isMember),
      peers: peers.flatMap(([peer, { ways, usable }]) => {
        const way = ways.ways[underlay];
        if (way === undefined) return [];
        const { state, cause, delayMs, lost, losses, sinceMs } = way;
        return [
          {
            peer: formatHostAddress(peer),
            address: this.#addressText(underlay, peer),
            told: this.#homes.isTold(underlay, peer),
            ...{ state, cause, losses },
            used: (usable & (1 << underlay)) !== 0,
            preferred: ways.preferred === underlay,
            delayMs: delayMs < 0 ? null : Math.round(delayMs * 1000) / 1000,
            mtu: this.#mtuTo(underlay, peer, devices),
            downDelayMs: Math.max(SILENCE_MS, way.openForSilence * ASK_MS),
            upDelayMs: way.upDelayMs(nowMs),
            lostPercent: Math.round(lost * 1000) / 10,
            forMs: Math.round(nowMs - sinceMs),
          },
        ];
      }),
    }));
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Without one nothing is known of this underlay, and it is not used beside the first. */
function openSocket(
  address: UnderlayAddress,
  { name, encap }: AnySpec,
  log: Log,
): ProbeSocket | undefined {
  try {
    return new ProbeSocket(address, ENCAPS[encap].udp ? undefined : PATH_ANSWER_WORDS);
  } catch (error) {
    log.warn(
      name,
      `${formatHostAddress(address)}: the underlay is not watched: ${messageOf(error)}`,
    );
    return undefined;
  }
}
