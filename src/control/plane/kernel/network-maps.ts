/**
 * The maps of one layer-2 network of the kernel's data path, as control reads and writes them. MACs are u48,
 * hosts u32 in host order, 0 = here.
 * @module
 */
import { MAC_KEY_BYTES } from '../../../bpf/fan-path.ts';
import { BINDING, FDB_PLACE, FLOOD, NETWORK_MAPS } from '../../../bpf/network/network-path.ts';
import {
  familyOf,
  hostBytes,
  hostOfBytes,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { deleteFromMap, readMap, writeMap } from '../../../sys/bpf/bpf.ts';
import { Service } from '../../../table/flood.ts';
import { FLOOD_TARGETS_MAX, VTEPS_MAX } from '../../../table/segment.ts';
import { keysOf, LinkMaps, macKey, openMaps, writeRow } from './maps.ts';

type NetworkMapName = keyof typeof NETWORK_MAPS;
const NAMES: readonly NetworkMapName[] = [
  ...(['counters', 'fdb', 'neighbours', 'neighbours6', 'vteps', 'floods'] as const),
  ...(['stations', 'bypass', 'events', 'told', 'limits'] as const),
];
const IPV4_BYTES = 4;
const IPV6_BYTES = 16;

/** Where a MAC is: `vni` is what is sent there, `flags` are those of table/fdb.ts. */
export type MapPlace = { host: number; vni: number; flags: number };
/** Whose an address is; `flags` are those of table/neighbours.ts. */
type MapBinding = { mac: number; flags: number };
/** A host that gets copies, and the VNI that they bear; host 0 = vacant. */
export type MapTarget = { host: number; vni: number };

function addressKey(address: UnderlayAddress): Buffer<ArrayBuffer> {
  return Buffer.from(hostBytes(address));
}

function hostKey(host: number): Buffer<ArrayBuffer> {
  const key = Buffer.alloc(IPV4_BYTES);
  key.writeUInt32LE(host);
  return key;
}

export class NetworkLinkMaps extends LinkMaps<NetworkMapName> {
  /** Those of a program that is attached, or new ones where there is none or another one. @throws SystemError */
  static open(program: number): NetworkLinkMaps {
    return new NetworkLinkMaps(openMaps(NETWORK_MAPS, NAMES, program));
  }

  /** False where there is no room for it. @throws SystemError */
  setMac(mac: number, { host, vni, flags }: MapPlace): boolean {
    const value = Buffer.alloc(NETWORK_MAPS.fdb.valueBytes);
    value.writeUInt32LE(host, FDB_PLACE.host);
    value.writeUInt32LE(vni, FDB_PLACE.vni);
    value.writeUInt32LE(flags, FDB_PLACE.flags);
    return writeRow(this.fds.fdb, macKey(mac), value);
  }

  deleteMac(mac: number): void {
    deleteFromMap(this.fds.fdb, macKey(mac));
  }

  place(mac: number): MapPlace | undefined {
    const value = Buffer.alloc(NETWORK_MAPS.fdb.valueBytes);
    if (!readMap(this.fds.fdb, macKey(mac), value)) return undefined;
    const [host, vni] = [value.readUInt32LE(FDB_PLACE.host), value.readUInt32LE(FDB_PLACE.vni)];
    return { host, vni, flags: value.readUInt32LE(FDB_PLACE.flags) };
  }

  macs(): number[] {
    const { entriesMax } = NETWORK_MAPS.fdb;
    const keys = [...keysOf(this.fds.fdb, MAC_KEY_BYTES, entriesMax)];
    return keys.map((key) => key.readUIntBE(0, 6));
  }

  #bindingsOf(address: UnderlayAddress): number {
    return familyOf(address) === 4 ? this.fds.neighbours : this.fds.neighbours6;
  }

  /** False where there is no room for it. @throws SystemError */
  setNeighbour(address: UnderlayAddress, { mac, flags }: MapBinding): boolean {
    const value = Buffer.alloc(NETWORK_MAPS.neighbours.valueBytes);
    value.writeUIntBE(mac, BINDING.mac, 6);
    value.writeUInt16LE(flags, BINDING.flags);
    return writeRow(this.#bindingsOf(address), addressKey(address), value);
  }

  deleteNeighbour(address: UnderlayAddress): void {
    deleteFromMap(this.#bindingsOf(address), addressKey(address));
  }

  binding(address: UnderlayAddress): MapBinding | undefined {
    const value = Buffer.alloc(NETWORK_MAPS.neighbours.valueBytes);
    if (!readMap(this.#bindingsOf(address), addressKey(address), value)) return undefined;
    return { mac: value.readUIntBE(BINDING.mac, 6), flags: value.readUInt16LE(BINDING.flags) };
  }

  addresses(): UnderlayAddress[] {
    const { entriesMax } = NETWORK_MAPS.neighbours;
    return [
      ...keysOf(this.fds.neighbours, IPV4_BYTES, entriesMax),
      ...keysOf(this.fds.neighbours6, IPV6_BYTES, entriesMax),
    ].map((key) => hostOfBytes(key));
  }

  /** A host may send from now on; `flags` are those of table/vteps.ts. False where there is no room. */
  setVtep(host: number, flags: number): boolean {
    const value = Buffer.alloc(NETWORK_MAPS.vteps.valueBytes);
    value.writeUInt32LE(flags);
    return writeRow(this.fds.vteps, hostKey(host), value);
  }

  deleteVtep(host: number): void {
    deleteFromMap(this.fds.vteps, hostKey(host));
  }

  hasVtep(host: number): boolean {
    return readMap(this.fds.vteps, hostKey(host), Buffer.alloc(NETWORK_MAPS.vteps.valueBytes));
  }

  vteps(): { host: number; flags: number }[] {
    const value = Buffer.alloc(NETWORK_MAPS.vteps.valueBytes);
    return [...keysOf(this.fds.vteps, IPV4_BYTES, VTEPS_MAX)].flatMap((key) => {
      if (!readMap(this.fds.vteps, key, value)) return [];
      return [{ host: key.readUInt32LE(0), flags: value.readUInt32LE(0) }];
    });
  }

  /** Where floods go, each target in its place, and who has which service. */
  setFloods(places: readonly MapTarget[], services: ReadonlyMap<Service, MapTarget>): void {
    const value = Buffer.alloc(NETWORK_MAPS.floods.valueBytes);
    const put = (at: number, { host, vni }: MapTarget): void => {
      value.writeUInt32LE(host, at);
      value.writeUInt32LE(vni, at + FLOOD.target.vni);
    };
    const targets = places.slice(0, FLOOD_TARGETS_MAX);
    value.writeUInt32LE(targets.length, FLOOD.count);
    for (const [service, target] of services) {
      put(FLOOD.services + service * FLOOD.target.bytes, target);
    }
    for (const [place, target] of targets.entries()) {
      put(FLOOD.targets + place * FLOOD.target.bytes, target);
    }
    writeMap(this.fds.floods, Buffer.alloc(4), value);
  }

  /** The same as it is there. */
  floods(): { places: MapTarget[]; services: Map<Service, MapTarget> } {
    const value = Buffer.alloc(NETWORK_MAPS.floods.valueBytes);
    readMap(this.fds.floods, Buffer.alloc(4), value);
    const get = (at: number): MapTarget => {
      return { host: value.readUInt32LE(at), vni: value.readUInt32LE(at + FLOOD.target.vni) };
    };
    const count = Math.min(value.readUInt32LE(FLOOD.count), FLOOD_TARGETS_MAX);
    const places = Array.from({ length: count }, (_, place) =>
      get(FLOOD.targets + place * FLOOD.target.bytes),
    );
    const services = new Map<Service, MapTarget>();
    for (const service of Object.values(Service)) {
      const target = get(FLOOD.services + service * FLOOD.target.bytes);
      if (target.host !== 0) services.set(service, target);
    }
    return { places, services };
  }
}
