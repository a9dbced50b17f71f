/**
 * Warm-up. JavaScript is interpreted at first and compiled for the types and branches it has met: in its
 * first half second a data process needs two to four times as long for a packet. So a new one runs a
 * loop of its own over descriptors that nobody else has, until its code is what it will be under load.
 *
 * Nothing of it is seen outside: the device is one end of a socket pair, the underlay another pair,
 * the counters and tables lie in memory of our own. What the loop sends reaches its one peer by an
 * abstract Unix address made of the very bytes of an IPv4 one (the first port byte is 0, which is what
 * makes an address abstract; unix(7)), so that not even the addresses differ from those in earnest.
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

/**
 * Runs a loop for some {@link CPU_MS} in `arena`, which is as if untouched afterwards. Returns the
 * counters of the loop's link, or undefined where the kernel refuses what it takes: then the process
 * begins cold.
 * @param encapId what the links in earnest use
 * @param makePair makes two connected sockets
 */
export function warmUp(
  arena: Arena,
  encapId: number,
  makePair: typeof socketPair = socketPair,
): Record<string, number> | undefined {
  const descriptors: number[] = [];
  try {
    const stage = new Stage(arena, encapId, descriptors, makePair);
    return stage.run();
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return undefined;
  } finally {
    for (const fd of descriptors) closeDescriptor(fd);
    arena.clear();
  }
}

/** The loop, both ends of what it stands between, and frames for it. */
class Stage {
  readonly #descriptors: number[];
  readonly #makePair: typeof socketPair;
  readonly #layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  readonly #loop: Loop;
  readonly #frames: WarmUpFrames;
  /** The host's end of the device, and the peer's of the underlay. */
  readonly #ends: readonly [Device, Device];
  readonly #drain: number;

  /** @throws SystemError */
  constructor(arena: Arena, encapId: number, descriptors: number[], makePair: typeof socketPair) {
    this.#makePair = makePair;
    this.#descriptors = descriptors;
    const encap = encapById(encapId);
    const [device, host] = this.#pair(SOCK_SEQPACKET);
    const [listener, peer] = this.#pair(SOCK_DGRAM);
    const fan = this.#name(peer, encap.udp);
    const ports = new KernelPorts(arena);
    this.#ends = [ports.device(host), ports.device(peer)];
    const [parent] = this.#pair(SOCK_DGRAM);
    const tables = new TableSegment(new ArrayBuffer(TABLES_BYTES));
    tables.initialize(1);
    const wake = this.#keep(createEventFd());
    this.#layout.initialize();
    this.#layout.queues = 1;
    this.#loop = new Loop(arena, this.#layout, tables, wake, parent, {
      ports,
      family: AF_UNIX,
      routes: {
        ...{ configured: () => 0, current: () => 0 },
        ...{ addProbe: () => {}, removeProbe: () => {} },
      },
    });
    writeRows(tables, encap, fan);
    const sockets = this.#sockets(encap, listener);
    const refused = this.#loop.apply({
      ...{ sequence: 0, left: [] },
      endpoints: [{ index: 0, incarnation: 1, sockets, probe: -1 }],
      links: [{ id: 0, incarnation: 1, device }],
    });
    if (refused !== 0) throw new RangeError(`the link of the warm-up was refused: ${refused}`);
    this.#frames = new WarmUpFrames(arena, encap, fan, MTU - encap.overheadBytes);
    this.#drain = arena.allocate(DRAIN_BYTES);
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

  run(): Record<string, number> {
    const until = performance.now() + WALL_MS_MAX;
    const [host, peer] = this.#ends;
    try {
      do {
        for (let round = 0; round < ROUNDS_PER_LOOK; round++) {
          this.#frames.feed(round, host, peer, this.#loop);
          this.#loop.tryRound();
          for (const device of this.#ends) while (device.read(this.#drain, DRAIN_BYTES) > 0);
        }
      } while (cpuMs() < CPU_MS + this.#startCpuMs && performance.now() < until);
    } finally {
      this.#loop.close();
    }
    return namedCounters(this.#layout.counters(0));
  }

  readonly #startCpuMs = cpuMs();
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
    gateway: 0,
    superBytesToHost: 65_535,
    superBytesToPorts: 65_535,
    dscpUniform: 0,
  });
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
