/**
 * The maps of one link of the kernel's data path, as control reads and writes them: counters, entries,
 * MACs, and what the programs tell.
 * @module
 */
import {
  BYPASS,
  FAN_MAPS,
  type FanMaps,
  MAC_KEY_BYTES,
  PREFIX_KEY_BYTES,
  PREFIX6_KEY_BYTES,
  STATION,
} from '../../../bpf/fan-path.ts';
import { LIMIT } from '../../../bpf/news.ts';
import {
  familyOf,
  hostBytes,
  hostOfBytes,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import {
  createMap,
  deleteFromMap,
  type MapShape,
  mapsOfProgram,
  nextKey,
  possibleProcessors,
  readMap,
  writeMap,
} from '../../../sys/bpf/bpf.ts';
import { RingBuffer } from '../../../sys/bpf/ring-buffer.ts';
import { libc, SystemError } from '../../../sys/libc/libc.ts';
import { COUNTERS_PER_LINK } from '../../../table/counters.ts';
import { EVENT_BYTES, type NetEvent, readEvent } from '../../../table/events.ts';

type MapName = keyof FanMaps;
const NAMES: readonly MapName[] = [
  ...(['counters', 'entries', 'entries6', 'homes', 'localMacs'] as const),
  ...(['stations', 'bypass', 'events', 'told', 'limits'] as const),
];
/** Those that a predecessor of an older build may not have: what is in them is not missed. */
const MAY_LACK: readonly MapName[] = ['bypass', 'events', 'told', 'limits'];
const COUNTER_BYTES = 8;
const TWO_32 = 2 ** 32;
const NS_PER_MS = 1_000_000n;

function isSame(a: MapShape, b: MapShape): boolean {
  return (
    a.type === b.type &&
    a.keyBytes === b.keyBytes &&
    a.valueBytes === b.valueBytes &&
    a.entriesMax === b.entriesMax
  );
}

function prefixKey({ address, length }: UnderlayPrefix): Buffer<ArrayBuffer> {
  const length32 = Buffer.alloc(4);
  length32.writeUInt32LE(length);
  return Buffer.concat([length32, hostBytes(address)]);
}

function macKey(mac: number): Buffer<ArrayBuffer> {
  const key = Buffer.alloc(MAC_KEY_BYTES);
  key.writeUIntBE(mac, 0, 6);
  return key;
}

function indexKey(index: number): Buffer<ArrayBuffer> {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
}

function complete(fdOf: (name: MapName) => number): FanMaps {
  return {
    ...{ counters: fdOf('counters'), entries: fdOf('entries'), localMacs: fdOf('localMacs') },
    ...{ entries6: fdOf('entries6'), homes: fdOf('homes') },
    ...{ stations: fdOf('stations'), bypass: fdOf('bypass') },
    ...{ events: fdOf('events'), told: fdOf('told'), limits: fdOf('limits') },
  };
}

export class LinkMaps {
  readonly fds: FanMaps;
  /** They were another process' before, with all that is in them. */
  readonly inherited: boolean;
  /** Once somebody reads it. */
  #ring: RingBuffer | undefined;
  readonly #column = Buffer.alloc(possibleProcessors() * FAN_MAPS.counters.valueBytes);

  private constructor(fds: FanMaps, inherited: boolean) {
    this.fds = fds;
    this.inherited = inherited;
  }

  /** New and empty. @throws SystemError */
  static create(): LinkMaps {
    const fds: Partial<Record<MapName, number>> = {};
    try {
      for (const name of NAMES) fds[name] = createMap(FAN_MAPS[name]);
    } catch (error) {
      for (const fd of Object.values(fds)) libc.close(fd);
      throw error;
    }
    return new LinkMaps(
      complete((name) => fds[name] ?? -1),
      false,
    );
  }

  /**
   * Those of a program that is attached already, so that counters and entries outlive a control
   * process that was killed; undefined where they cannot be had (which takes CAP_SYS_ADMIN) or are of
   * another version.
   * @throws SystemError
   */
  static of(program: number): LinkMaps | undefined {
    let found: ReturnType<typeof mapsOfProgram>;
    try {
      found = mapsOfProgram(program);
    } catch (error) {
      if (error instanceof SystemError) return undefined;
      throw error;
    }
    const fdOf = (name: MapName): number => {
      const map = found.get(FAN_MAPS[name].name);
      return map !== undefined && isSame(map.shape, FAN_MAPS[name]) ? map.fd : -1;
    };
    const fds = complete(fdOf);
    const isWhole = NAMES.every((name) => fds[name] >= 0 || MAY_LACK.includes(name));
    const taken = new Set(isWhole ? Object.values(fds) : []);
    for (const { fd } of found.values()) if (!taken.has(fd)) libc.close(fd);
    if (!isWhole) return undefined;
    const filled = complete((name) => (fds[name] < 0 ? createMap(FAN_MAPS[name]) : fds[name]));
    return new LinkMaps(filled, true);
  }

  /** Counters in the order of table/counters.ts, all processors together. @throws SystemError */
  counters(): Float64Array {
    const sum = new Float64Array(COUNTERS_PER_LINK);
    readMap(this.fds.counters, Buffer.alloc(4), this.#column);
    for (let at = 0; at < this.#column.length; at += COUNTER_BYTES) {
      const value = this.#column.readUInt32LE(at) + this.#column.readUInt32LE(at + 4) * TWO_32;
      const index = (at / COUNTER_BYTES) % COUNTERS_PER_LINK;
      sum[index] = (sum[index] ?? 0) + value;
    }
    return sum;
  }

  /** False where there is no room for it. @throws SystemError */
  setEntry(prefix: UnderlayPrefix, host: number): boolean {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(host);
    return this.#write(this.#entriesOf(prefix), prefixKey(prefix), value);
  }

  #entriesOf({ address }: UnderlayPrefix): number {
    return familyOf(address) === 4 ? this.fds.entries : this.fds.entries6;
  }

  #write(map: number, key: Buffer<ArrayBuffer>, value: Buffer<ArrayBuffer>): boolean {
    try {
      writeMap(map, key, value);
      return true;
    } catch (error) {
      if (error instanceof SystemError && ['ENOSPC', 'ENOMEM', 'E2BIG'].includes(error.code)) {
        return false;
      }
      throw error;
    }
  }

  deleteEntry(prefix: UnderlayPrefix): void {
    deleteFromMap(this.#entriesOf(prefix), prefixKey(prefix));
  }

  /** Every prefix that has an entry. */
  entries(): UnderlayPrefix[] {
    return [
      ...this.#prefixesIn(this.fds.entries, PREFIX_KEY_BYTES),
      ...this.#prefixesIn(this.fds.entries6, PREFIX6_KEY_BYTES),
    ];
  }

  #prefixesIn(map: number, keyBytes: number): UnderlayPrefix[] {
    const prefixes: UnderlayPrefix[] = [];
    let key: Buffer<ArrayBuffer> | undefined;
    while (prefixes.length < FAN_MAPS.entries.entriesMax) {
      key = nextKey(map, key, keyBytes);
      if (key === undefined) break;
      prefixes.push({ address: hostOfBytes(key.subarray(4)), length: key.readUInt32LE(0) });
    }
    return prefixes;
  }

  /** One more of an event that control counts itself, where no program does: it outlives control so. */
  countEvent(index: number): void {
    const value = Buffer.alloc(FAN_MAPS.limits.valueBytes);
    value.writeBigUInt64LE(BigInt(this.eventCount(index) + 1), LIMIT.count);
    writeMap(this.fds.limits, indexKey(index), value);
  }

  /** How many there were of it. */
  eventCount(index: number): number {
    const value = Buffer.alloc(FAN_MAPS.limits.valueBytes);
    readMap(this.fds.limits, indexKey(index), value);
    return Number(value.readBigUInt64LE(LIMIT.count));
  }

  /** What the programs have told, the oldest first; at most so much. */
  takeEvents(max: number): NetEvent[] {
    this.#ring ??= new RingBuffer(this.fds.events, FAN_MAPS.events.entriesMax);
    return this.#ring.take(max, EVENT_BYTES, readEvent);
  }

  /** A MAC is not behind a port of this host any more. */
  forgetMac(mac: number): void {
    deleteFromMap(this.fds.localMacs, macKey(mac));
  }

  /**
   * A station (u48) is behind the port of an ifindex and was heard of so long ago; 0 = behind none, and it stays
   * so. False where there is no room. @throws SystemError
   */
  setStation(mac: number, port: number, quietMs = 0): boolean {
    const value = Buffer.alloc(FAN_MAPS.stations.valueBytes);
    const heardNs = process.hrtime.bigint() - BigInt(quietMs) * NS_PER_MS;
    value.writeBigUInt64LE(heardNs > 0n ? heardNs : 0n, STATION.bridgedNs);
    value.writeUInt32LE(port, STATION.port);
    return this.#write(this.fds.stations, macKey(mac), value);
  }

  deleteStation(mac: number): void {
    deleteFromMap(this.fds.stations, macKey(mac));
  }

  /** The ifindex of the port that a station (u48) is behind, 0 = none; undefined where nobody knows. */
  portOf(mac: number): number | undefined {
    const value = Buffer.alloc(FAN_MAPS.stations.valueBytes);
    if (!readMap(this.fds.stations, macKey(mac), value)) return undefined;
    return value.readUInt32LE(STATION.port);
  }

  /** All stations: MAC (u48), ifindex of the port, time of {@link process.hrtime} in ns. */
  stations(): { mac: number; port: number; bridgedNs: bigint }[] {
    const found: { mac: number; port: number; bridgedNs: bigint }[] = [];
    const value = Buffer.alloc(FAN_MAPS.stations.valueBytes);
    let key: Buffer<ArrayBuffer> | undefined;
    while (found.length < FAN_MAPS.stations.entriesMax) {
      key = nextKey(this.fds.stations, key, MAC_KEY_BYTES);
      if (key === undefined) break;
      if (!readMap(this.fds.stations, key, value)) continue;
      const bridgedNs = value.readBigUInt64LE(STATION.bridgedNs);
      found.push({
        mac: key.readUIntBE(0, 6),
        port: value.readUInt32LE(STATION.port),
        bridgedNs,
      });
    }
    return found;
  }

  /**
   * Lets frames pass by the bridge for so long; one of each station goes through it again after `againMs`. Small
   * packets may leave at once by a device of the underlay (ifindex), 0 = by none.
   */
  allowBypass(forMs: number, againMs: number, validMs: number, device = 0): void {
    const value = Buffer.alloc(FAN_MAPS.bypass.valueBytes);
    const until = forMs === 0 ? 0n : process.hrtime.bigint() + BigInt(forMs) * NS_PER_MS;
    value.writeBigUInt64LE(until, BYPASS.untilNs);
    value.writeBigUInt64LE(BigInt(againMs) * NS_PER_MS, BYPASS.againNs);
    value.writeBigUInt64LE(BigInt(validMs) * NS_PER_MS, BYPASS.validNs);
    value.writeUInt32LE(device, BYPASS.device);
    writeMap(this.fds.bypass, Buffer.alloc(4), value);
  }

  /** Lets go of them; programs that are attached keep them. */
  close(): void {
    this.#ring?.close();
    for (const name of NAMES) libc.close(this.fds[name]);
  }
}
