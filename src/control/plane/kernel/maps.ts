/**
 * The maps of one link of the kernel's data path that every link has, as control reads and writes them:
 * counters, what the programs tell, and who is behind which port.
 * @module
 */
import { BYPASS, FAN_MAPS, MAC_KEY_BYTES, STATION } from '../../../bpf/fan-path.ts';
import { LIMIT } from '../../../bpf/news.ts';
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

const COUNTER_BYTES = 8;
const TWO_32 = 2 ** 32;
const NS_PER_MS = 1_000_000n;

type Common = 'counters' | 'stations' | 'bypass' | 'events' | 'told' | 'limits';
/** Those that a predecessor of an older build may not have: what is in them is not missed. */
const MAY_LACK: readonly string[] = ['bypass', 'events', 'told', 'limits'] satisfies Common[];

/** Maps by name, as they are made. */
type Shapes<Name extends string> = Readonly<Record<Name, MapShape & { readonly name: string }>>;
/** Their descriptors. */
export type MapSet<Name extends string> = {
  readonly fds: Readonly<Record<Name, number>>;
  /** They were another process' before, with all that is in them. */
  readonly inherited: boolean;
};

function isSame(a: MapShape, b: MapShape): boolean {
  return (
    a.type === b.type &&
    a.keyBytes === b.keyBytes &&
    a.valueBytes === b.valueBytes &&
    a.entriesMax === b.entriesMax
  );
}

function hasAll<Name extends string>(
  names: readonly Name[],
  fds: Partial<Record<Name, number>>,
): fds is Record<Name, number> {
  return names.every((name) => fds[name] !== undefined);
}

/** New and empty. @throws SystemError */
function createMaps<Name extends string>(
  shapes: Shapes<Name>,
  names: readonly Name[],
  have: Partial<Record<Name, number>> = {},
): Record<Name, number> {
  const fds = { ...have };
  try {
    for (const name of names) fds[name] ??= createMap(shapes[name]);
  } catch (error) {
    for (const fd of Object.values<number | undefined>(fds)) if (fd !== undefined) libc.close(fd);
    throw error;
  }
  if (hasAll(names, fds)) return fds;
  throw new RangeError('maps without names');
}

/**
 * Those of a program that is attached already, so that counters and entries outlive a control
 * process that was killed; undefined where they cannot be had (which takes CAP_SYS_ADMIN) or are of
 * another version.
 * @throws SystemError
 */
function mapsOf<Name extends string>(
  shapes: Shapes<Name>,
  names: readonly Name[],
  program: number,
): MapSet<Name> | undefined {
  let found: ReturnType<typeof mapsOfProgram>;
  try {
    found = mapsOfProgram(program);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  const fds: Partial<Record<Name, number>> = {};
  for (const name of names) {
    const map = found.get(shapes[name].name);
    if (map !== undefined && isSame(map.shape, shapes[name])) fds[name] = map.fd;
  }
  const isWhole = names.every((name) => fds[name] !== undefined || MAY_LACK.includes(name));
  const taken = new Set(isWhole ? Object.values(fds) : []);
  for (const { fd } of found.values()) if (!taken.has(fd)) libc.close(fd);
  return isWhole ? { fds: createMaps(shapes, names, fds), inherited: true } : undefined;
}

/**
 * The maps of a link: those of the program of a predecessor where there is one, or new ones.
 * @param program its number, 0 = none
 * @throws SystemError
 */
export function openMaps<Name extends string>(
  shapes: Shapes<Name>,
  names: readonly Name[],
  program: number,
): MapSet<Name> {
  const found = program === 0 ? undefined : mapsOf(shapes, names, program);
  return found ?? { fds: createMaps(shapes, names), inherited: false };
}

/** False where there is no room for it. @throws SystemError */
export function writeRow(
  map: number,
  key: Buffer<ArrayBuffer>,
  value: Buffer<ArrayBuffer>,
): boolean {
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

/** Every key of a map, at most so many. */
export function* keysOf(
  map: number,
  keyBytes: number,
  max: number,
): Generator<Buffer<ArrayBuffer>> {
  let key: Buffer<ArrayBuffer> | undefined;
  for (let count = 0; count < max; count++) {
    key = nextKey(map, key, keyBytes);
    if (key === undefined) return;
    yield key;
  }
}

/** A MAC (u48) as maps have it. */
export function macKey(mac: number): Buffer<ArrayBuffer> {
  const key = Buffer.alloc(MAC_KEY_BYTES);
  key.writeUIntBE(mac, 0, 6);
  return key;
}

function indexKey(index: number): Buffer<ArrayBuffer> {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
}

export class LinkMaps<Name extends string = never> {
  readonly fds: Readonly<Record<Name | Common, number>>;
  readonly inherited: boolean;
  /** Once somebody reads it. */
  #ring: RingBuffer | undefined;
  readonly #column = Buffer.alloc(possibleProcessors() * FAN_MAPS.counters.valueBytes);

  constructor({ fds, inherited }: MapSet<Name | Common>) {
    this.fds = fds;
    this.inherited = inherited;
  }

  get #common(): Readonly<Record<Common, number>> {
    return this.fds;
  }

  /** Counters in the order of table/counters.ts, all processors together. @throws SystemError */
  counters(): Float64Array {
    const sum = new Float64Array(COUNTERS_PER_LINK);
    readMap(this.#common.counters, Buffer.alloc(4), this.#column);
    for (let at = 0; at < this.#column.length; at += COUNTER_BYTES) {
      const value = this.#column.readUInt32LE(at) + this.#column.readUInt32LE(at + 4) * TWO_32;
      const index = (at / COUNTER_BYTES) % COUNTERS_PER_LINK;
      sum[index] = (sum[index] ?? 0) + value;
    }
    return sum;
  }

  /** One more of an event that control counts itself, where no program does: it outlives control so. */
  countEvent(index: number): void {
    const value = Buffer.alloc(FAN_MAPS.limits.valueBytes);
    value.writeBigUInt64LE(BigInt(this.eventCount(index) + 1), LIMIT.count);
    writeMap(this.#common.limits, indexKey(index), value);
  }

  /** How many there were of it. */
  eventCount(index: number): number {
    const value = Buffer.alloc(FAN_MAPS.limits.valueBytes);
    readMap(this.#common.limits, indexKey(index), value);
    return Number(value.readBigUInt64LE(LIMIT.count));
  }

  /** What the programs have told, the oldest first; at most so much. */
  takeEvents(max: number): NetEvent[] {
    this.#ring ??= new RingBuffer(this.#common.events, FAN_MAPS.events.entriesMax);
    return this.#ring.take(max, EVENT_BYTES, readEvent);
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
    return writeRow(this.#common.stations, macKey(mac), value);
  }

  deleteStation(mac: number): void {
    deleteFromMap(this.#common.stations, macKey(mac));
  }

  /** The ifindex of the port that a station (u48) is behind, 0 = none; undefined where nobody knows. */
  portOf(mac: number): number | undefined {
    const value = Buffer.alloc(FAN_MAPS.stations.valueBytes);
    if (!readMap(this.#common.stations, macKey(mac), value)) return undefined;
    return value.readUInt32LE(STATION.port);
  }

  /** All stations: MAC (u48), ifindex of the port, time of {@link process.hrtime} in ns. */
  stations(): { mac: number; port: number; bridgedNs: bigint }[] {
    const found: { mac: number; port: number; bridgedNs: bigint }[] = [];
    const value = Buffer.alloc(FAN_MAPS.stations.valueBytes);
    const map = this.#common.stations;
    for (const key of keysOf(map, MAC_KEY_BYTES, FAN_MAPS.stations.entriesMax)) {
      if (!readMap(map, key, value)) continue;
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
    writeMap(this.#common.bypass, Buffer.alloc(4), value);
  }

  /** Readable where {@link takeEvents} has something to take. */
  get eventsFd(): number {
    return this.#common.events;
  }

  /** Lets go of them; programs that are attached keep them. */
  close(): void {
    this.#ring?.close();
    for (const fd of Object.values<number>(this.fds)) libc.close(fd);
  }
}
