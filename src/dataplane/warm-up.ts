/**
 * Warm-up. JavaScript is interpreted at first and compiled for the types and branches it has met: in its
 * first half second a data process needs two to four times as long for a packet. So a new one runs a
 * loop of its own over descriptors that nobody else has, until its code is what it will be under load:
 * before its turn, where another process forwards meanwhile; else in the moments when nothing is to be forwarded,
 * and what is to be forwarded warms it as well.
 *
 * Nothing of it is seen outside: the device is one end of a socket pair, the underlay another pair,
 * the counters and tables lie in memory of our own. What the loop sends reaches its one peer by an
 * abstract Unix address made of the very bytes of an IPv4 one (the first port byte is 0, which is what
 * makes an address abstract; unix(7)), so that not even the addresses differ from those in earnest.
 *
 * Compiled code holds for what it was compiled for: it is thrown away at the first number of another kind, the
 * first object of another shape, the first branch that was never taken. So both loops are made before either
 * runs, addresses here are as wide as any (above 2^31 they are numbers of another kind to V8), and there is
 * something of everything that a fan sees daily (warm-up-frames.ts).
 * @module
 */
import { randomInt } from 'node:crypto';
import { type Encap, encapById } from '../encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../shm/layout.ts';
import { AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET } from '../sys/libc/constants.ts';
import { SystemError } from '../sys/libc/libc.ts';
import { createEventFd } from '../sys/libc/memory.ts';
import { bindName, closeDescriptor, duplicate, socketPair } from '../sys/sockets/local-sockets.ts';
import { namedCounters } from '../table/counters.ts';
import { EndpointKind, LinkWriter, Offload } from '../table/links/links.ts';
import { TABLES_BYTES, TableSegment } from '../table/segment.ts';
import { ARENA_BYTES } from './arena-bytes.ts';
import type { Arena } from './ground/arena.ts';
import { type Device, KernelPorts } from './ground/ports.ts';
import { Loop } from './loop.ts';
import { type WarmUpFan, WarmUpFrames } from './warm-up-frames.ts';

/** How much processor time it takes, all threads together, and how much time it may take, ms. */
const CPU_MS = 400;
const WALL_MS_MAX = 1500;
/** Rounds between two looks at the clock. */
const ROUNDS_PER_LOOK = 16;
/** Outer source ports of the loop: several, so that flows are spread as in earnest. */
const PORTS = 4;
/** How many addresses are tried until one is nobody's. */
const BIND_TRIES = 16;
const OVERLAY = 0xfa00_0000;
const UNDERLAY = 0xac1e_0000;
const UNDERLAY_HOSTS = 0xffff;
const MTU = 1500;
/** One device frame or underlay datagram: longer ones are cut off while draining, which is no loss. */
const DRAIN_BYTES = 4096;
/** What it takes of the packet arena, for as long as it lasts: a loop's, and frames. */
export const WARM_UP_ARENA_BYTES = ARENA_BYTES + (1 << 20);

type Scene = {
  loop: Loop;
  frames: WarmUpFrames;
  /** The host's end of the device, and the peer's of the underlay. */
  ends: { host: Device; peer: Device };
  drain: number;
};

/** The loop, both ends of what it stands between, and frames for it. */
export class WarmUp {
  readonly #descriptors: number[] = [];
  readonly #makePair: typeof socketPair;
  readonly #arena: Arena;
  /** What it has of the arena. */
  readonly #from: number;
  #to: number;
  readonly #layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  readonly #tables = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  #scene: Scene | undefined;
  #round = 0;
  readonly #enoughCpuMs = cpuMs() + CPU_MS;

  private constructor(arena: Arena, makePair: typeof socketPair) {
    this.#makePair = makePair;
    this.#arena = arena;
    this.#from = arena.turnPage();
    this.#to = this.#from;
  }

  /**
   * Takes {@link WARM_UP_ARENA_BYTES} of `arena`; undefined where the kernel refuses what it takes: then the
   * process begins cold.
   * @param encapId what the links in earnest use
   * @param makePair makes two connected sockets
   */
  static open(
    arena: Arena,
    encapId: number,
    makePair: typeof socketPair = socketPair,
  ): WarmUp | undefined {
    const warmUp = new WarmUp(arena, makePair);
    try {
      warmUp.#scene = warmUp.#build(encapById(encapId));
      warmUp.#to = arena.turnPage();
      return warmUp;
    } catch (error) {
      warmUp.#to = arena.turnPage();
      warmUp.close();
      if (!(error instanceof SystemError)) throw error;
      return undefined;
    }
  }

  /** @throws SystemError */
  #build(encap: Encap): Scene {
    const arena = this.#arena;
    const [device, host] = this.#pair(SOCK_SEQPACKET);
    const [listener, peer] = this.#pair(SOCK_DGRAM);
    const fan = this.#name(peer, encap.udp);
    const ports = new KernelPorts(arena);
    const [parent] = this.#pair(SOCK_DGRAM);
    this.#tables.initialize(1);
    const wake = this.#keep(createEventFd());
    this.#layout.initialize();
    this.#layout.queues = 1;
    const loop = new Loop(arena, this.#layout, this.#tables, wake, parent, {
      ports,
      family: AF_UNIX,
      routes: {
        ...{ configured: () => 0, current: () => 0 },
        ...{ addProbe: () => {}, removeProbe: () => {} },
      },
    });
    writeRows(this.#tables, encap, fan);
    const sockets = this.#sockets(encap, listener);
    const refused = loop.apply({
      ...{ sequence: 0, left: [] },
      endpoints: [{ index: 0, incarnation: 1, sockets, probe: -1 }],
      links: [{ id: 0, incarnation: 1, device }],
    });
    if (refused !== 0) throw new RangeError(`the link of the warm-up was refused: ${refused}`);
    const ends = { host: ports.device(host), peer: ports.device(peer) };
    const frames = new WarmUpFrames(arena, encap, fan, MTU - encap.overheadBytes);
    return { loop, frames, ends, drain: arena.allocate(DRAIN_BYTES) };
  }

  #keep(fd: number): number {
    this.#descriptors.push(fd);
    return fd;
  }

  #pair(type: number): [number, number] {
    const [a, b] = this.#makePair(type);
    return [this.#keep(a), this.#keep(b)];
  }

  /** Gives the peer an address that the loop takes for an IPv4 one. @throws SystemError */
  #name(peer: number, hasPort: boolean): WarmUpFan {
    const name = new Uint8Array(16);
    const view = new DataView(name.buffer);
    for (let tries = 1; ; tries++) {
      const remote = UNDERLAY + randomInt(2, UNDERLAY_HOSTS);
      const port = hasPort ? randomInt(1, 256) : 0;
      view.setUint16(0, AF_UNIX, true);
      view.setUint16(2, port);
      view.setUint32(4, remote);
      const bound = bindName(peer, name);
      if (bound === 0) return { overlay: OVERLAY, local: UNDERLAY + 1, remote, port };
      if (tries === BIND_TRIES) throw new SystemError('bind', -bound);
    }
  }

  /** The listening socket, and as many that send as flows are spread over. */
  #sockets(encap: Encap, listener: number): number[] {
    const senders = encap.udp ? PORTS : 0;
    return [listener, ...Array.from({ length: senders }, () => this.#keep(duplicate(listener)))];
  }

  /** One round; false once its time is over. Then it is closed. */
  readonly step = (): boolean => {
    const scene = this.#scene;
    if (scene === undefined) return false;
    const { loop, frames, ends, drain } = scene;
    frames.feed(this.#round++, ends.host, ends.peer, loop);
    loop.tryRound();
    while (ends.host.read(drain, DRAIN_BYTES) > 0);
    while (ends.peer.read(drain, DRAIN_BYTES) > 0);
    if (this.#round % ROUNDS_PER_LOOK !== 0 || cpuMs() < this.#enoughCpuMs) return true;
    this.close();
    return false;
  };

  /** All of it at once, or as much as there is time for. */
  finish(): void {
    const until = performance.now() + WALL_MS_MAX;
    while (this.step() && performance.now() < until);
    this.close();
  }

  /** Gives everything back; its part of the arena is as if untouched. */
  close(): void {
    this.#scene?.loop.close();
    this.#scene = undefined;
    for (const fd of this.#descriptors.splice(0)) closeDescriptor(fd);
    this.#arena.forsake(this.#from, this.#to);
    this.#to = this.#from;
  }

  /** What its loop has counted. */
  counters(): Record<string, number> {
    return namedCounters(this.#layout.counters(0));
  }
}

/** The one link and its endpoint, as control would write them. */
function writeRows(tables: TableSegment, encap: Encap, fan: WarmUpFan): void {
  const writer = new LinkWriter(tables);
  writer.setEndpoint(0, 1, {
    kind: encap.udp ? EndpointKind.Udp : EndpointKind.Ipip,
    localAddress: fan.local,
    localPort: fan.port,
    offloads: encap.udp ? Offload.Segment | Offload.Gro : 0,
  });
  writer.setLink(0, 1, {
    encap: encap.id,
    offloads: Offload.VnetHeader | Offload.Tso | Offload.Uso,
    endpoint: 0,
    overlayAddress: fan.overlay,
    overlayLength: 8,
    underlayAddress: UNDERLAY,
    underlayLength: 16,
    localAddress: fan.local,
    vni: fan.overlay >>> 8,
    peerPort: fan.port,
    innerMtu: MTU - encap.overheadBytes,
    underlayMtu: MTU,
    gateway: (fan.overlay | 1) >>> 0,
    superBytesToHost: 65_535,
    superBytesToPorts: 65_535,
    dscpUniform: 0,
  });
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
