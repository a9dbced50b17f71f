/**
 * Functions of the kernel that programs call by the numbers of their types, found in its type information (BTF,
 * Documentation/bpf/btf.rst):
 *
 * ```
 * header        magic u16, version u8, flags u8, its length u32; types: offset u32, bytes u32; texts: the same
 * types         name (offset of its text) u32, kind and count u32, size or type u32, more by kind
 * texts         each with a zero behind it
 * ```
 *
 * A module's types and texts go on where the kernel's end.
 * @module
 */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { codeOf } from '../../errors.ts';
import { typesOfModule } from './bpf.ts';

const FOLDER = '/sys/kernel/btf';
const KERNEL = 'vmlinux';
const MAGIC = 0xeb9f;
const HEADER = {
  magic: 0,
  bytes: 4,
  typesAt: 8,
  typesBytes: 12,
  textsAt: 16,
  textsBytes: 20,
} as const;
const TYPE_BYTES = 12;
const KIND_FUNCTION = 12;
/** Bytes behind a type by its kind: once, and for each of its members. */
const MORE: Readonly<Record<number, { once?: number; each?: number }>> = {
  1: { once: 4 }, // integer
  3: { once: 12 }, // array
  4: { each: 12 }, // structure
  5: { each: 12 }, // union
  6: { each: 8 }, // enumeration
  13: { each: 8 }, // function's parameters and result
  14: { once: 4 }, // variable
  15: { each: 12 }, // section
  17: { once: 4 }, // tag of a declaration
  19: { each: 12 }, // enumeration of 64 bits
};

/** Where the next one's numbers and texts begin. */
type Ends = { typeId: number; text: number };

/**
 * Reads the numbers of functions; `found` is filled by name.
 * @param base where the numbers and texts of this part begin
 * @throws RangeError for what is no type information
 */
export function readFunctions(
  bytes: Buffer,
  names: readonly string[],
  base: Ends,
  found: Map<string, number>,
): Ends {
  if (bytes.length < 24 || bytes.readUInt16LE(HEADER.magic) !== MAGIC) {
    throw new RangeError('no type information');
  }
  const from = bytes.readUInt32LE(HEADER.bytes);
  const texts = from + bytes.readUInt32LE(HEADER.textsAt);
  const textsBytes = bytes.readUInt32LE(HEADER.textsBytes);
  // By the place of its text: there are a hundred thousand types, and few that matter.
  const wanted = new Map<number, string>();
  const ends = texts + textsBytes;
  for (const name of names) {
    const at = bytes.indexOf(`\0${name}\0`, texts, 'latin1');
    if (at >= 0 && at < ends) wanted.set(at + 1 - texts + base.text, name);
  }
  let at = from + bytes.readUInt32LE(HEADER.typesAt);
  const end = at + bytes.readUInt32LE(HEADER.typesBytes);
  let typeId = base.typeId;
  for (; at + TYPE_BYTES <= end; typeId++) {
    const word = bytes.readUInt32LE(at + 4);
    const kind = (word >>> 24) & 0x1f;
    const name = kind === KIND_FUNCTION ? wanted.get(bytes.readUInt32LE(at)) : undefined;
    if (name !== undefined) found.set(name, typeId);
    const { once = 0, each = 0 } = MORE[kind] ?? {};
    at += TYPE_BYTES + once + each * (word & 0xffff);
  }
  return { typeId, text: base.text + textsBytes };
}

/** Of the kernel itself, which does not change while it runs. */
let kernel: { found: Map<string, number>; ends: Ends; names: string } | undefined;

function read(name: string): Buffer | undefined {
  try {
    return readFileSync(`${FOLDER}/${name}`);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Functions by name, each as programs call it, and a descriptor of where they stand, -1 = the kernel itself. */
export type FoundFunctions<Name extends string> = {
  functions: Record<Name, { typeId: number; origin: 0 | 1 }>;
  types: number;
};

/**
 * Finds functions of a module, or of the kernel that has it built in. Whoever asked closes `types`.
 * @returns why they cannot be had where it is a text
 * @throws SystemError EPERM without CAP_SYS_ADMIN
 */
export function findFunctions<Name extends string>(
  module: string,
  names: readonly Name[],
): FoundFunctions<Name> | string {
  // Programs are assembled for little endian alone.
  if (endianness() !== 'LE') return 'this processor has another order of bytes';
  if (kernel?.names !== names.join()) {
    const bytes = read(KERNEL);
    if (bytes === undefined) return `this kernel has no type information (${FOLDER}/${KERNEL})`;
    const found = new Map<string, number>();
    // Number 0 is that of nothing.
    const ends = readFunctions(bytes, names, { typeId: 1, text: 0 }, found);
    kernel = { found, ends, names: names.join() };
  }
  const own = kernel.found;
  if (names.every((name) => own.has(name)))
    return { functions: asFunctions(names, own, 0), types: -1 };
  const bytes = read(module);
  if (bytes === undefined) {
    return `the kernel's module ${module} is not loaded (modprobe ${module}), or has no type information (${FOLDER}/${module})`;
  }
  const found = new Map<string, number>();
  readFunctions(bytes, names, kernel.ends, found);
  const lacks = names.filter((name) => !found.has(name));
  if (lacks.length > 0) return `the kernel's module ${module} has no ${lacks.join(', ')}`;
  const types = typesOfModule(module);
  if (types === undefined) return `the kernel's module ${module} has just gone`;
  return { functions: asFunctions(names, found, 1), types };
}

function asFunctions<Name extends string>(
  names: readonly Name[],
  found: ReadonlyMap<string, number>,
  origin: 0 | 1,
): FoundFunctions<Name>['functions'] {
  const entries = names.map((name) => [name, { typeId: found.get(name) ?? 0, origin }]);
  return Object.fromEntries(entries) as FoundFunctions<Name>['functions'];
}
