/**
 * Routers of layer-2 networks inside one process, each with the data process's own loop, and what control
 * would tell them of each other.
 * @module
 */

import { ARENA_BYTES } from '../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { Loop } from '../../src/dataplane/loop.ts';
import { VXLAN } from '../../src/encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import { LinkKind, type NetworkWords } from '../../src/shm/network.ts';
import { AF_INET } from '../../src/sys/libc/constants.ts';
import { namedCounters, unaccounted } from '../../src/table/counters.ts';
import { EventReader, type NetEvent } from '../../src/table/events.ts';
import { EndpointKind, type LinkRecord, Offload } from '../../src/table/links/links.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../src/wire/ipv4.ts';
import { type Fabric, FabricPorts } from './fabric.ts';
import { NO_ROUTES } from './peers.ts';
import { TestTables } from './tables.ts';

const [DEVICE, LISTENER, SENDER] = [100, 200, 201];
const ROUNDS_MAX = 16;

/** A layer-2 network, the same on each router of a lab. */
export type TestNetwork = { vni: number } & Partial<NetworkWords>;

/** What control would write of the router `local` and the others. */
export class LanTables extends TestTables {
  readonly local: number;
  readonly #peers = new Map<number, number>();

  constructor(local: number) {
    super();
    this.local = local;
  }

  /** The number of another router in the tables. */
  peer(address: number): number {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = this.peerWriter.intern(ipv4Bytes(address));
      this.#peers.set(address, peer);
    }
    return peer;
  }

  /** The router at `at` may send on a link, with what it is. */
  admit(link: number, at: number, flags = 0): void {
    this.vtepWriter.set(link, this.peer(at), flags);
  }

  /** A station is at the router `at`: its MAC, and its addresses (4 or 16 bytes) with it. */
  station(
    link: number,
    at: number,
    mac: number,
    addresses: readonly Uint8Array[] = [],
    flags: { fdb?: number; neighbour?: number } = {},
  ): void {
    const isHere = at === this.local;
    const peer = isHere ? 0 : this.peer(at);
    this.fdbWriter.set(link, mac, { peer, flags: flags.fdb ?? 0 });
    for (const address of addresses) {
      const own = isHere ? 1 : 0;
      this.neighbourWriter.set(link, address, { mac, flags: (flags.neighbour ?? 0) | own });
    }
  }
}

export class LanRouter {
  readonly local: number;
  readonly ports: FabricPorts;
  readonly tables: LanTables;
  readonly layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  readonly loop: Loop;
  readonly #events: EventReader;

  /** @param networks whose links have the numbers 0, 1 and so on */
  constructor(fabric: Fabric, local: number, networks: readonly TestNetwork[], mtu = 1500) {
    this.local = local;
    this.tables = new LanTables(local);
    const arena = new Arena(ARENA_BYTES);
    const more = networks.slice(1).map((_, i) => DEVICE + 1 + i);
    this.ports = new FabricPorts(arena, fabric, local, {
      device: DEVICE,
      listener: LISTENER,
      more,
    });
    this.layout.initialize();
    this.layout.queues = 1;
    this.#events = new EventReader(this.layout.eventReader());
    const records = networks.map(
      (network, id): LinkRecord => ({
        ...{ id, encap: VXLAN.id, deviceFd: DEVICE + id, offloads: 0, endpoint: 0 },
        ...{ overlayAddress: 0, overlayLength: 0, underlayAddress: 0, underlayLength: 0 },
        ...{ localAddress: local, peerPort: VXLAN.defaultPort, underlayMtu: mtu },
        ...{ innerMtu: mtu - VXLAN.overheadBytes, gateway: 0, dscpUniform: 0 },
        superBytesToHost: IPV4_PACKET_BYTES_MAX,
        superBytesToPorts: IPV4_PACKET_BYTES_MAX,
        ...network,
        kind: LinkKind.Vni,
      }),
    );
    this.loop = new Loop(arena, this.layout, this.tables.segment, 300, 301, {
      ports: this.ports,
      family: AF_INET,
      routes: NO_ROUTES,
    });
    const endpoint = {
      ...{ kind: EndpointKind.Udp, localAddress: local, localPort: VXLAN.defaultPort },
      ...{ offloads: Offload.Segment, sockets: [LISTENER, SENDER] },
    };
    this.tables.give(this.loop, [endpoint], records);
  }

  peer(address: number): number {
    return this.tables.peer(address);
  }

  admit(link: number, at: number, flags = 0): void {
    this.tables.admit(link, at, flags);
  }

  station(...put: Parameters<LanTables['station']>): void {
    this.tables.station(...put);
  }

  /** The host gives a frame to its device of a link. */
  send(link: number, frame: Uint8Array): void {
    this.ports.devices.get(DEVICE + link)?.toRouter.push(frame);
  }

  /** What came out of a link's device since the last call. */
  received(link: number): Uint8Array[] {
    return this.ports.devices.get(DEVICE + link)?.toHost.splice(0) ?? [];
  }

  /** What control is told since the last call. */
  events(): NetEvent[] {
    return this.#events.take(10_000);
  }

  counters(link = 0): Record<string, number> {
    return namedCounters(this.layout.counters(link));
  }

  /** Packet counters of a link that are not zero, totals, bytes and the like left aside. */
  ends(link = 0): Record<string, number> {
    const picked = Object.entries(this.counters(link)).filter(
      ([name, count]) => count !== 0 && /^(e|in)gress\.(drop\.|delivered$)/.test(name),
    );
    return Object.fromEntries(picked);
  }

  /** Forgets what was counted. */
  clear(link = 0): void {
    this.layout.counters(link).fill(0);
  }

  /** Packets of a link that no counter explains. */
  unaccounted(link = 0): number {
    const counters = this.counters(link);
    return Math.abs(unaccounted(counters, 'egress')) + Math.abs(unaccounted(counters, 'ingress'));
  }
}

/** Runs all loops until nothing moves any more. */
export function settle(routers: readonly LanRouter[]): void {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let moved = 0;
    for (const { loop } of routers) moved += loop.tryRound();
    if (moved === 0) return;
  }
  throw new Error('packets go round in circles');
}
