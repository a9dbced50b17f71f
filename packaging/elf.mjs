// What we do to 64-bit little-endian ELF files: take the symbols out of a library, and add a note to a
// program, where it finds it again in its own memory.
//
// The note is what Node's single-executable applications are: a blob in a note of the name NODE_SEA_BLOB,
// which the program looks for once its "fuse" is set (https://nodejs.org/api/single-executable-applications.html).
// Two program headers more do not fit where the table lies, so it moves to the end of the file, together
// with the note, into a segment of its own. There the distance between offset and address is that of the
// first segment: kernels before 5.18 reckon the table's address from that.

const HEADER = {
  ...{ class: 4, data: 5, machine: 18, tableOffset: 32, sectionsOffset: 40 },
  ...{ entrySize: 54, entries: 56, sections: 60, sectionNames: 62 },
};
const ENTRY_BYTES = 56;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PT_PHDR = 6;
const READABLE = 4;
/** The largest page of the machines we build for (arm64 may have 64 KiB). */
const PAGE_BYTES = 0x10000;
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const MACHINES = { 62: 'x64', 183: 'arm64' };

const align = (value, to) => Math.ceil(value / to) * to;

/** `x64` or `arm64`, as `process.arch` says it. @throws Error for what is no program of either. */
export function machineOf(elf) {
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46) throw new Error('not an ELF program');
  const machine = MACHINES[elf.readUInt16LE(HEADER.machine)];
  if (elf[HEADER.class] !== 2 || elf[HEADER.data] !== 1 || machine === undefined) {
    throw new Error('neither x86-64 nor arm64');
  }
  return machine;
}

/** One program header, its numbers as plain numbers. */
function readEntry(elf, at) {
  const long = (offset) => Number(elf.readBigUInt64LE(at + offset));
  return {
    type: elf.readUInt32LE(at),
    flags: elf.readUInt32LE(at + 4),
    offset: long(8),
    address: long(16),
    fileBytes: long(32),
    memoryBytes: long(40),
    align: long(48),
  };
}

function writeEntry(bytes, at, entry) {
  bytes.writeUInt32LE(entry.type, at);
  bytes.writeUInt32LE(entry.flags, at + 4);
  const longs = [
    entry.offset,
    entry.address,
    entry.address,
    entry.fileBytes,
    entry.memoryBytes,
    entry.align,
  ];
  for (const [i, value] of longs.entries()) bytes.writeBigUInt64LE(BigInt(value), at + 8 + i * 8);
}

/** A note (elf(5)): length of name, length of content, type, name with its zero, content. */
function noteOf(name, content) {
  const nameBytes = name.length + 1;
  const head = Buffer.alloc(12 + align(nameBytes, 4));
  head.writeUInt32LE(nameBytes, 0);
  head.writeUInt32LE(content.length, 4);
  head.write(name, 12, 'latin1');
  return Buffer.concat([head, content, Buffer.alloc(align(content.length, 4) - content.length)]);
}

/** Every program header. */
function readEntries(elf) {
  machineOf(elf);
  if (elf.readUInt16LE(HEADER.entrySize) !== ENTRY_BYTES)
    throw new Error('unknown program headers');
  const table = Number(elf.readBigUInt64LE(HEADER.tableOffset));
  const count = elf.readUInt16LE(HEADER.entries);
  return Array.from({ length: count }, (_, i) => readEntry(elf, table + i * ENTRY_BYTES));
}

/**
 * The file without what no program needs that runs it: all that lies behind its segments (symbols,
 * their names, debugging) and the table of sections. strip(1) does as much, of its own machine's files.
 */
export function strip(elf) {
  const end = Math.max(...readEntries(elf).map(({ offset, fileBytes }) => offset + fileBytes));
  const rest = Buffer.from(elf.subarray(0, end));
  rest.writeBigUInt64LE(0n, HEADER.sectionsOffset);
  rest.writeUInt16LE(0, HEADER.sections);
  rest.writeUInt16LE(0, HEADER.sectionNames);
  return rest;
}

/** The program with the note in it. */
export function addNote(elf, name, content) {
  const entries = readEntries(elf);
  const loads = entries.filter(({ type }) => type === PT_LOAD);
  const [first] = loads;
  const last = loads.at(-1);
  if (first === undefined || last === undefined) throw new Error('a program without segments');
  const base = first.address - first.offset;
  const offset = align(Math.max(elf.length, last.address + last.memoryBytes - base), PAGE_BYTES);
  const tableBytes = (entries.length + 2) * ENTRY_BYTES;
  const note = noteOf(name, content);
  const segment = (type, from, bytes, alignment) => ({
    ...{ type, flags: READABLE, offset: offset + from, address: base + offset + from },
    ...{ fileBytes: bytes, memoryBytes: bytes, align: alignment },
  });
  entries.splice(
    entries.indexOf(last) + 1,
    0,
    segment(PT_LOAD, 0, tableBytes + note.length, PAGE_BYTES),
  );
  entries.push(segment(PT_NOTE, tableBytes, note.length, 4));
  const bytes = Buffer.alloc(tableBytes);
  for (const [i, entry] of entries.entries()) {
    const moved = { ...segment(PT_PHDR, 0, tableBytes, 8) };
    writeEntry(bytes, i * ENTRY_BYTES, entry.type === PT_PHDR ? moved : entry);
  }
  const all = Buffer.concat([elf, Buffer.alloc(offset - elf.length), bytes, note]);
  all.writeBigUInt64LE(BigInt(offset), HEADER.tableOffset);
  all.writeUInt16LE(entries.length, HEADER.entries);
  return all;
}

/**
 * Tells a Node program to look for its blob.
 * @throws Error when it has no fuse, as where Node is a library that the program only loads.
 */
export function setFuse(elf) {
  const at = elf.indexOf(`${FUSE}:0`);
  if (at < 0 || elf.indexOf(`${FUSE}:0`, at + 1) >= 0) {
    throw new Error(
      'it cannot carry an application: built without, or with Node as a shared library',
    );
  }
  elf[at + FUSE.length + 1] = 0x31;
}
