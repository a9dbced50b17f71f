/**
 * The system call bpf(2): maps and programs of the kernel, by descriptor.
 * @module
 */
import { readFileSync } from 'node:fs';
import { ENOENT } from '../libc/constants.ts';
import { addressOf, errno, libc, SystemError } from '../libc/libc.ts';

/** Numbers of bpf(2) by processor. */
const SYSCALL: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };
const COMMAND = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  programLoad: 5,
  programAttach: 8,
  programDetach: 9,
  programById: 13,
  mapById: 14,
  info: 15,
  programQuery: 16,
  typesById: 19,
  typesNextId: 23,
  linkCreate: 28,
} as const;
const ATTRIBUTE_BYTES = 128;
const NAME_BYTES = 16;
/** A program for classifiers of tc. */
const PROGRAM_SCHED_CLS = 3;
/** What the kernel's checker may say about a program, bytes. */
const LOG_BYTES = 256 * 1024;
/** The end of that is where it says why. */
const LOG_SHOWN_CHARS = 1500;
/** Where programs attach to a device (linux/bpf.h, BPF_TCX_INGRESS). */
const ATTACH_TYPE = { ingress: 46, egress: 47 } as const;
const BEFORE_ALL = 1 << 3;
const BEHIND_ALL = 1 << 4;
/** The kernel lets so many programs be at one hook. */
const PROGRAMS_MAX = 64;
/**
 * Terms by which a program may be had. Some functions of the kernel ask for the GPL; fanway's licence lets anybody
 * take what is fanway's by that too, and `Dual MIT/GPL` is how the kernel spells that.
 */
const LICENSES = { mit: Buffer.from('MIT\0'), gpl: Buffer.from('Dual MIT/GPL\0') } as const;

type Bytes = Buffer<ArrayBuffer>;

/** One call; the attribute is a union, of which each command reads what it knows. */
function call(command: keyof typeof COMMAND, attribute: Buffer): number {
  const number = SYSCALL[process.arch];
  if (number === undefined) throw new SystemError('bpf', 38, `not known on ${process.arch}`);
  return libc.syscall(number, COMMAND[command], addressOf(attribute), attribute.length, 0, 0);
}

function checked(command: keyof typeof COMMAND, attribute: Buffer, detail = ''): number {
  const result = call(command, attribute);
  if (result === -1) throw new SystemError(`bpf ${command}`, errno(), detail);
  return result;
}

function pointer(attribute: Buffer, offset: number, to: Buffer): void {
  attribute.writeBigUInt64LE(BigInt(addressOf(to)), offset);
}

/** What a map is like; sizes in bytes. */
export type MapShape = {
  /** At most 15 characters. */
  readonly name: string;
  readonly type: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly entriesMax: number;
  readonly flags: number;
};

/** Makes a map; returns its descriptor. @throws SystemError EPERM without CAP_BPF */
export function createMap(shape: MapShape): number {
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  const { type, keyBytes, valueBytes, entriesMax, flags } = shape;
  for (const [i, value] of [type, keyBytes, valueBytes, entriesMax, flags].entries()) {
    attribute.writeUInt32LE(value, i * 4);
  }
  attribute.write(shape.name.slice(0, NAME_BYTES - 1), 28, 'latin1');
  return checked('mapCreate', attribute, shape.name);
}

function mapAttribute(fd: number, key: Buffer | undefined, value?: Buffer): Buffer {
  const attribute = Buffer.alloc(32);
  attribute.writeUInt32LE(fd, 0);
  if (key !== undefined) pointer(attribute, 8, key);
  if (value !== undefined) pointer(attribute, 16, value);
  return attribute;
}

/**
 * Reads the value of a key into `value`, which for a map that has one for each processor holds those of
 * {@link possibleProcessors}, each a multiple of 8 bytes long. False where there is no such key.
 * @throws SystemError
 */
export function readMap(fd: number, key: Bytes, value: Bytes): boolean {
  if (call('mapLookup', mapAttribute(fd, key, value)) !== -1) return true;
  if (errno() === ENOENT) return false;
  throw new SystemError('bpf mapLookup', errno());
}

/** @throws SystemError ENOSPC, E2BIG where the map is full */
export function writeMap(fd: number, key: Bytes, value: Bytes): void {
  checked('mapUpdate', mapAttribute(fd, key, value));
}

/** Takes a key out; one that is not there is no error. @throws SystemError */
export function deleteFromMap(fd: number, key: Bytes): void {
  if (call('mapDelete', mapAttribute(fd, key)) === -1 && errno() !== ENOENT) {
    throw new SystemError('bpf mapDelete', errno());
  }
}

/** The key behind `key`, the first one for undefined; undefined at the end. @throws SystemError */
export function nextKey(fd: number, key: Bytes | undefined, keyBytes: number): Bytes | undefined {
  const next = Buffer.alloc(keyBytes);
  if (call('mapNextKey', mapAttribute(fd, key, next)) !== -1) return next;
  if (errno() === ENOENT) return undefined;
  throw new SystemError('bpf mapNextKey', errno());
}

/**
 * Loads a program for a classifier; returns its descriptor.
 * @param types for one that calls functions of the kernel by their types, which ask for the GPL: a descriptor of the
 *   module's type information, -1 where they are the kernel's own
 * @throws SystemError EPERM without CAP_BPF and CAP_NET_ADMIN; EACCES, EINVAL with the end of what the
 * kernel's checker says about it
 */
export function loadClassifier(
  name: string,
  instructions: Uint8Array<ArrayBuffer>,
  license: keyof typeof LICENSES = 'mit',
  types?: number,
): number {
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  const code = Buffer.from(instructions.buffer, instructions.byteOffset, instructions.byteLength);
  attribute.writeUInt32LE(PROGRAM_SCHED_CLS, 0);
  attribute.writeUInt32LE(instructions.length / 8, 4);
  pointer(attribute, 8, code);
  pointer(attribute, 16, LICENSES[license]);
  // The first place stands for the kernel itself.
  const descriptors = Buffer.alloc(8);
  if (types !== undefined && types >= 0) {
    descriptors.writeInt32LE(types, 4);
    pointer(attribute, 120, descriptors);
  }
  attribute.write(name.slice(0, NAME_BYTES - 1), 48, 'latin1');
  const fd = call('programLoad', attribute);
  if (fd !== -1) return fd;
  const reason = errno();
  return withLog(attribute, reason);
}

/** The same once more, to hear why not. */
function withLog(attribute: Buffer, reason: number): number {
  const log = Buffer.alloc(LOG_BYTES);
  attribute.writeUInt32LE(1, 24);
  attribute.writeUInt32LE(log.length, 28);
  pointer(attribute, 32, log);
  const fd = call('programLoad', attribute);
  if (fd !== -1) return fd;
  const text = log.toString('utf8', 0, Math.max(0, log.indexOf(0))).trim();
  throw new SystemError('bpf programLoad', reason, text.slice(-LOG_SHOWN_CHARS));
}

function infoOf(fd: number, info: Bytes): void {
  const attribute = Buffer.alloc(16);
  attribute.writeUInt32LE(fd, 0);
  attribute.writeUInt32LE(info.length, 4);
  pointer(attribute, 8, info);
  checked('info', attribute);
}

const PROGRAM_INFO_BYTES = 80;
const MAP_INFO_BYTES = 40;
const MAPS_MAX = 16;

function textAt(info: Buffer, offset: number): string {
  return info.toString('latin1', offset, offset + NAME_BYTES).replace(/\0.*$/s, '');
}

/** A program's number, by which tc shows it. @throws SystemError */
export function programId(fd: number): number {
  const info = Buffer.alloc(PROGRAM_INFO_BYTES);
  infoOf(fd, info);
  return info.readUInt32LE(4);
}

/**
 * Descriptors of the maps of the program with this number, by name; their owner closes them.
 * @throws SystemError EPERM without CAP_SYS_ADMIN, ENOENT where it is gone
 */
export function mapsOfProgram(id: number): Map<string, { fd: number; shape: MapShape }> {
  const attribute = Buffer.alloc(16);
  attribute.writeUInt32LE(id, 0);
  const program = checked('programById', attribute);
  const maps = new Map<string, { fd: number; shape: MapShape }>();
  const open: number[] = [];
  try {
    const ids = Buffer.alloc(MAPS_MAX * 4);
    const info = Buffer.alloc(PROGRAM_INFO_BYTES);
    info.writeUInt32LE(MAPS_MAX, 52);
    pointer(info, 56, ids);
    infoOf(program, info);
    const count = Math.min(info.readUInt32LE(52), MAPS_MAX);
    for (let i = 0; i < count; i++) {
      attribute.writeUInt32LE(ids.readUInt32LE(i * 4), 0);
      const fd = checked('mapById', attribute);
      open.push(fd);
      const shape = shapeOf(fd);
      maps.set(shape.name, { fd, shape });
    }
  } catch (error) {
    for (const fd of open) libc.close(fd);
    throw error;
  } finally {
    libc.close(program);
  }
  return maps;
}

function shapeOf(fd: number): MapShape {
  const info = Buffer.alloc(MAP_INFO_BYTES);
  infoOf(fd, info);
  return {
    name: textAt(info, 24),
    type: info.readUInt32LE(0),
    keyBytes: info.readUInt32LE(8),
    valueBytes: info.readUInt32LE(12),
    entriesMax: info.readUInt32LE(16),
    flags: info.readUInt32LE(20),
  };
}

function deviceAttribute(
  index: number,
  hook: keyof typeof ATTACH_TYPE,
  fd: number,
  flags: number,
): Buffer {
  const attribute = Buffer.alloc(32);
  for (const [i, value] of [index, fd, ATTACH_TYPE[hook], flags].entries()) {
    attribute.writeUInt32LE(value, i * 4);
  }
  return attribute;
}

/** Attaches a program to a device of this namespace, before all that are there. @throws SystemError */
export function attachToDevice(index: number, hook: keyof typeof ATTACH_TYPE, fd: number): void {
  checked('programAttach', deviceAttribute(index, hook, fd, BEFORE_ALL));
}

/**
 * Attaches a program to a device of this namespace, behind all that are there, for as long as the
 * descriptor that is returned is open. @throws SystemError EINVAL before Linux 6.6
 */
export function linkToDevice(index: number, hook: keyof typeof ATTACH_TYPE, fd: number): number {
  const attribute = Buffer.alloc(64);
  for (const [i, value] of [fd, index, ATTACH_TYPE[hook], BEHIND_ALL].entries()) {
    attribute.writeUInt32LE(value, i * 4);
  }
  return checked('linkCreate', attribute);
}

/** Takes the last program at a hook away. @throws SystemError EBUSY where a link of bpf(2) holds it */
export function detachFromDevice(index: number, hook: keyof typeof ATTACH_TYPE): void {
  checked('programDetach', deviceAttribute(index, hook, 0, BEHIND_ALL));
}

/** Numbers of the programs at a hook, the first first. @throws SystemError EINVAL before Linux 6.6 */
export function programsOnDevice(index: number, hook: keyof typeof ATTACH_TYPE): number[] {
  const ids = Buffer.alloc(PROGRAMS_MAX * 4);
  const attribute = Buffer.alloc(64);
  attribute.writeUInt32LE(index, 0);
  attribute.writeUInt32LE(ATTACH_TYPE[hook], 4);
  pointer(attribute, 16, ids);
  attribute.writeUInt32LE(PROGRAMS_MAX, 24);
  if (call('programQuery', attribute) === -1) {
    // So it says for a hook that never had any.
    if (errno() === ENOENT) return [];
    throw new SystemError('bpf programQuery', errno());
  }
  const count = Math.min(attribute.readUInt32LE(24), PROGRAMS_MAX);
  return Array.from({ length: count }, (_, i) => ids.readUInt32LE(i * 4));
}

/** How many processors a value of a map is kept for: those that this machine could ever have. */
export function possibleProcessors(): number {
  // `0-3`, `0,2-5`: the highest number counts (cputopology.rst).
  const numbers = readFileSync('/sys/devices/system/cpu/possible', 'utf8').match(/\d+/g) ?? ['0'];
  return Math.max(...numbers.map(Number)) + 1;
}

const TYPES_INFO_BYTES = 32;
const MODULE_NAME_BYTES = 64;

/**
 * A descriptor of the type information of a module of the kernel; its owner closes it. Undefined where there is none.
 * @throws SystemError EPERM without CAP_SYS_ADMIN
 */
export function typesOfModule(name: string): number | undefined {
  const attribute = Buffer.alloc(16);
  const info = Buffer.alloc(TYPES_INFO_BYTES);
  const text = Buffer.alloc(MODULE_NAME_BYTES);
  for (let id = 0; ; ) {
    attribute.fill(0).writeUInt32LE(id, 0);
    if (call('typesNextId', attribute) === -1) {
      if (errno() === ENOENT) return undefined;
      throw new SystemError('bpf typesNextId', errno());
    }
    id = attribute.readUInt32LE(4);
    attribute.fill(0).writeUInt32LE(id, 0);
    const fd = call('typesById', attribute);
    if (fd === -1) {
      // It went meanwhile.
      if (errno() === ENOENT) continue;
      throw new SystemError('bpf typesById', errno());
    }
    text.fill(0);
    pointer(info.fill(0), 16, text);
    info.writeUInt32LE(text.length, 24);
    infoOf(fd, info);
    if (text.toString('latin1').replace(/\0.*$/s, '') === name) return fd;
    libc.close(fd);
  }
}
