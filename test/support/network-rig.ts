/**
 * A port of a layer-2 network that the kernel forwards, without control: a bridge with a container, the network's
 * device with the programs, and whoever is elsewhere played by one other host.
 * @module
 */
import { networkEgress } from '../../src/bpf/network/network-egress.ts';
import { networkIngress } from '../../src/bpf/network/network-ingress.ts';
import {
  BINDING,
  FDB_PLACE,
  FLOOD,
  NETWORK_MAPS,
  type NetworkMaps,
  type NetworkPath,
} from '../../src/bpf/network/network-path.ts';
import { Lab } from '../../src/demo/lab.ts';
import { BumMode, GuardMode } from '../../src/shm/network.ts';
import {
  createMap,
  loadClassifier,
  possibleProcessors,
  programId,
  readMap,
  writeMap,
} from '../../src/sys/bpf/bpf.ts';
import { RingBuffer } from '../../src/sys/bpf/ring-buffer.ts';
import { attachTcx, tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { readSysctl, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { FilterPriority } from '../../src/sys/netlink/tc.ts';
import { COUNTERS_PER_LINK, namedCounters, unaccounted } from '../../src/table/counters.ts';
import { EVENT_BYTES, type NetEvent, readEvent } from '../../src/table/events.ts';
import { Service } from '../../src/table/flood.ts';
import { ethernet, ipv4, udp, vxlan } from './bytes.ts';
import { until } from './patience.ts';
import { Wire } from './wire.ts';

const [BRIDGE, DEVICE, PORT, VNI] = ['lan', 'lan-vx', 4789, 100];

export type Station = { mac: number; addresses: readonly Uint8Array[]; flags?: number };

/** What left as a datagram: the outer destination, the VNI and the frame. */
export type Sent = { to: number; vni: number; frame: Buffer };

export class NetworkRig {
  readonly lab: Lab;
  readonly maps: NetworkMaps;
  /** Our host, and the addresses of two others and of a stranger, u32. */
  readonly local: number;
  readonly peers: readonly [number, number];
  readonly stranger: number;
  #path: NetworkPath;
  #index = 0;
  readonly #ring: RingBuffer;
  #inside!: Wire;
  #underlay!: Wire;
  #hostMac = 0;
  #peerMac = 0;
  #flood = Buffer.alloc(NETWORK_MAPS.floods.valueBytes);

  private constructor(lab: Lab, change: Partial<NetworkPath>) {
    this.lab = lab;
    this.local = lab.host(0).address;
    const { address } = lab.host(1);
    this.peers = [address, address + 1];
    this.stranger = address + 9;
    const entries = Object.entries(NETWORK_MAPS);
    this.maps = Object.fromEntries(
      entries.map(([name, shape]) => [name, createMap(shape)]),
    ) as NetworkMaps;
    this.#ring = new RingBuffer(this.maps.events, NETWORK_MAPS.events.entriesMax);
    this.#path = {
      ...{ local: this.local, vni: VNI, port: PORT, innerMtu: 1450, dscp: 'pipe', frames: true },
      ...{ bum: BumMode.None, guard: GuardMode.Learn, isReplicator: false, tellsAnswers: false },
      ...{ floodsPerSecond: 1000, ...change },
    };
  }

  static async create(change: Partial<NetworkPath> = {}): Promise<NetworkRig> {
    const lab = await Lab.create({ hosts: 2 });
    try {
      const rig = new NetworkRig(lab, change);
      await rig.#build();
      return rig;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  async #build(): Promise<void> {
    const [host, other, container] = [this.lab.host(0), this.lab.host(1), this.lab.container(0)];
    host.run(() => {
      for (const scope of ['all', 'eth0']) writeSysctl(`net/ipv4/conf/${scope}/rp_filter`, '0');
      writeSysctl('net/ipv4/conf/eth0/accept_local', '1');
      // Where bridges hand frames to the firewall they judge IP headers themselves: not here.
      for (const family of ['ip', 'ip6', 'arp']) {
        const key = `net/bridge/bridge-nf-call-${family}tables`;
        if (readSysctl(key) !== null) writeSysctl(key, '0');
      }
    });
    this.#hostMac = (await host.netlink.link('eth0')).address;
    this.#peerMac = (await other.netlink.link('eth0')).address;
    for (const address of [...this.peers, this.stranger]) {
      await host.netlink.addNeighbour('eth0', address, this.#peerMac);
    }
    await host.netlink.createBridge(BRIDGE);
    await host.netlink.setLink(BRIDGE, { mtu: 1450, up: true });
    await host.netlink.createExternalVxlan(DEVICE, { port: PORT, mtu: 1450 });
    this.#index = (await host.netlink.link(DEVICE)).index;
    await this.become({});
    await host.netlink.setLink(DEVICE, { master: BRIDGE, up: true });
    await host.netlink.setLink(container.hostEnd, { mtu: 1450, master: BRIDGE, up: true });
    await container.netlink.setLink('eth0', { mtu: 1450, up: true });
    this.#inside = Wire.open(container, 'eth0');
    this.#underlay = Wire.open(other, 'eth0');
  }

  /** The programs are of another network from now on. */
  async become(change: Partial<NetworkPath>): Promise<void> {
    this.#path = { ...this.#path, ...change };
    const [path, maps] = [this.#path, this.maps];
    const { netlink } = this.lab.host(0);
    const code = { egress: networkEgress(path, maps), ingress: networkIngress(path, maps) };
    for (const hook of ['egress', 'ingress'] as const) {
      const fd = loadClassifier(`rig_${hook}`, code[hook]);
      try {
        const isTcx = this.lab.host(0).run(() => {
          if (tcxPrograms(this.#index, hook) === undefined) return false;
          attachTcx(this.#index, hook, fd, programId(fd));
          return true;
        });
        if (isTcx) continue;
        await netlink.addHooks(this.#index);
        await netlink.attachProgram(this.#index, hook, {
          ...{ fd, name: `rig_${hook}`, priority: FilterPriority.First },
        });
      } finally {
        libc.close(fd);
      }
    }
  }

  /** A station is at a host, 0 = here, with its addresses. */
  station(host: number, { mac, addresses, flags = 0 }: Station, neighbour = 0, vni = VNI): void {
    const [key, place] = [Buffer.alloc(8), Buffer.alloc(NETWORK_MAPS.fdb.valueBytes)];
    key.writeUIntBE(mac, 0, 6);
    place.writeUInt32LE(host, FDB_PLACE.host);
    place.writeUInt32LE(vni, FDB_PLACE.vni);
    place.writeUInt32LE(flags, FDB_PLACE.flags);
    writeMap(this.maps.fdb, key, place);
    for (const address of addresses) {
      const binding = Buffer.alloc(NETWORK_MAPS.neighbours.valueBytes);
      binding.writeUIntBE(mac, BINDING.mac, 6);
      binding.writeUInt16LE(neighbour, BINDING.flags);
      const { neighbours, neighbours6 } = this.maps;
      writeMap(address.length === 4 ? neighbours : neighbours6, Buffer.from(address), binding);
    }
  }

  /** A host may send to us. */
  admit(host: number, flags = 0): void {
    const [key, value] = [Buffer.alloc(4), Buffer.alloc(4)];
    key.writeUInt32LE(host);
    value.writeUInt32LE(flags);
    writeMap(this.maps.vteps, key, value);
  }

  /** These get a copy each; vacant places are 0. */
  floods(targets: readonly { host: number; vni?: number }[]): void {
    const value = this.#flood;
    value.fill(0, FLOOD.targets);
    value.writeUInt32LE(targets.length, FLOOD.count);
    for (const [i, { host, vni = VNI }] of targets.entries()) {
      this.#writeTarget(FLOOD.targets + i * FLOOD.target.bytes, host, vni);
    }
    writeMap(this.maps.floods, Buffer.alloc(4), value);
  }

  /** A host has a service, 0 = nobody. */
  service(name: keyof typeof Service, host: number): void {
    this.#writeTarget(FLOOD.services + Service[name] * FLOOD.target.bytes, host, VNI);
    writeMap(this.maps.floods, Buffer.alloc(4), this.#flood);
  }

  #writeTarget(at: number, host: number, vni: number): void {
    this.#flood.writeUInt32LE(host, at);
    this.#flood.writeUInt32LE(vni, at + FLOOD.target.vni);
  }

  counters(): Record<string, number> {
    const sum = new Float64Array(COUNTERS_PER_LINK);
    const column = Buffer.alloc(possibleProcessors() * NETWORK_MAPS.counters.valueBytes);
    readMap(this.maps.counters, Buffer.alloc(4), column);
    for (let at = 0; at < column.length; at += 8) {
      const index = (at / 8) % COUNTERS_PER_LINK;
      sum[index] = (sum[index] ?? 0) + Number(column.readBigInt64LE(at));
    }
    return namedCounters(sum);
  }

  /** Packets that no counter explains. */
  unaccounted(): number {
    const counters = this.counters();
    return Math.abs(unaccounted(counters, 'egress')) + Math.abs(unaccounted(counters, 'ingress'));
  }

  events(): NetEvent[] {
    return this.#ring.take(1000, EVENT_BYTES, readEvent);
  }

  /** What moved of one direction while `act` did its work, once its packets have their ends. */
  async #ends(direction: string, act: () => void): Promise<Record<string, number>> {
    const before = this.counters();
    act();
    const read = (): Record<string, number> => {
      const moved: Record<string, number> = {};
      for (const [name, value] of Object.entries(this.counters())) {
        const by = value - (before[name] ?? 0);
        const isEnd = name.startsWith(`${direction}.d`) && !name.endsWith('Bytes');
        if (isEnd && by !== 0) moved[name] = by;
      }
      return moved;
    };
    await until(`${direction}: it has its end`, 200, () => Object.keys(read()).length > 0);
    return read();
  }

  /** Sends a frame out of the container: its ends, what left for others, and what came back. */
  async leave(
    frame: Uint8Array,
  ): Promise<{ ends: Record<string, number>; sent: Sent[]; back: Buffer[] }> {
    this.#inside.take();
    this.#underlay.take();
    const ends = await this.#ends('egress', () => this.#inside.send(frame));
    const [sent, back]: [Sent[], Buffer[]] = [[], []];
    await until('all has arrived', 5000, () => {
      back.push(...this.#inside.arrived());
      sent.push(...this.#underlay.arrived().flatMap(readSent));
      const { 'egress.delivered': delivered = 0, 'egress.drop.answered': answered = 0 } = ends;
      return sent.length >= delivered && back.length >= answered;
    });
    return { ends, sent, back };
  }

  /** A frame comes in a datagram of a host: its ends, and what came to the container. */
  async arrive(
    frame: Uint8Array,
    from = this.peers[1],
    vni = VNI,
  ): Promise<{ ends: Record<string, number>; inside: Buffer[]; sent: Sent[] }> {
    this.#inside.take();
    this.#underlay.take();
    const ends = { source: from, destination: this.local };
    const datagram = udp(ends, { destinationPort: PORT, checksum: 'none' }, vxlan(vni, frame));
    const outer = ethernet(this.#hostMac, this.#peerMac, 0x0800, ipv4(ends, datagram));
    const met = await this.#ends('ingress', () => this.#underlay.send(outer));
    const [inside, sent]: [Buffer[], Sent[]] = [[], []];
    await until('it has arrived', 5000, () => {
      inside.push(...this.#inside.arrived());
      sent.push(...this.#underlay.arrived().flatMap(readSent));
      return inside.length >= (met['ingress.delivered'] ?? 0);
    });
    return { ends: met, inside, sent };
  }

  close(): void {
    this.#inside.close();
    this.#underlay.close();
    this.#ring.close();
    for (const fd of Object.values(this.maps)) libc.close(fd);
    this.lab.close();
  }
}

/** A datagram of the network on the underlay; none where it is another frame. */
function readSent(frame: Buffer): Sent[] {
  const isOne = frame.length > 50 && frame.readUInt16BE(12) === 0x0800 && frame[23] === 17;
  if (!isOne || frame.readUInt16BE(36) !== PORT) return [];
  const bytes = Buffer.from(frame.subarray(50));
  return [{ to: frame.readUInt32BE(30), vni: frame.readUIntBE(46, 3), frame: bytes }];
}
