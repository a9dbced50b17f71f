import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { CborError, type CborValue, decodeCbor, encodeCbor } from '../../src/wire/cbor.ts';
import { decodeBlock, encodeBlock } from '../../src/wire/gossip/block.ts';
import { DATAGRAM_BYTES_MAX } from '../../src/wire/gossip/bounds.ts';
import { GossipFormatError } from '../../src/wire/gossip/fields.ts';
import { FrameError, FrameReader } from '../../src/wire/gossip/frame.ts';
import { decodeMessages, encodeMessages } from '../../src/wire/gossip/message.ts';
import {
  FROZEN_BLOCKS,
  FROZEN_MESSAGES,
  LATER_BLOCK,
  LATER_PAYLOAD,
} from '../vectors/gossip-frozen.ts';
import { HOSTILE_CBOR } from '../vectors/gossip-hostile.ts';
import { HONEST_BLOCKS, HONEST_PAYLOADS } from '../vectors/gossip-hostile-records.ts';
import { fromHex, toHex } from '../vectors/hex.ts';
import { fuzz, Random } from './mutate.ts';

/** Mutations in all. CI takes 10^7, a release 10^9: FANWAY_GOSSIP_FUZZ_RUNS=1000000000, about an hour. */
const RUNS = Number(process.env['FANWAY_GOSSIP_FUZZ_RUNS']) || 300_000;
/** No run of ours takes longer; one that does has found a loop. */
const BUDGET_MS = Math.max(900_000, RUNS / 2);
t.setTimeout(5 * BUDGET_MS);
// Of an error only the class and the code matter here, and a stack costs more than the parser.
Error.stackTraceLimit = 0;

const BLOCKS = [...FROZEN_BLOCKS.map(([, hex]) => hex), LATER_BLOCK.hex, ...HONEST_BLOCKS].map(
  fromHex,
);
const PAYLOADS = [
  ...FROZEN_MESSAGES.map(([, hex]) => hex),
  LATER_PAYLOAD.hex,
  ...HONEST_PAYLOADS,
].map(fromHex);
// Frames hold up to 64 kB, but what is wrong in a large one is wrong in a small one.
const SMALL = HOSTILE_CBOR.map(([, hex]) => fromHex(hex)).filter(({ length }) => length < 1200);

/** What `parse` makes of bytes, or undefined when it refuses them with `expected`. */
function parseOr<T>(parse: () => T, expected: new (...args: never[]) => Error): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof expected) return undefined;
    throw error;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** What passes is canonical: it has exactly the bytes that we would write. */
function walkCbor(bytes: Uint8Array): boolean {
  const value = parseOr(() => decodeCbor(bytes), CborError);
  return value === undefined || sameBytes(encodeCbor(value), bytes);
}

/** Reading is what is tried here: of what passes, one in eight is also written and read again. */
let passed = 0;

/** What passes can be written, and reads the same again. */
function walkPayload(bytes: Uint8Array): boolean {
  const heard = parseOr(() => decodeMessages(bytes), GossipFormatError);
  if (heard === undefined || passed++ % 8 !== 0) return true;
  const written = encodeMessages(heard.messages);
  const again = decodeMessages(written);
  return again.skipped === 0 && sameBytes(encodeMessages(again.messages), written);
}

function walkBlock(bytes: Uint8Array): boolean {
  const block = parseOr(() => decodeBlock(bytes), GossipFormatError);
  if (block === undefined || passed++ % 8 !== 0) return true;
  const written = encodeBlock(block);
  return written.length <= bytes.length && sameBytes(encodeBlock(decodeBlock(written)), written);
}

/** A stream in pieces holds no more than a frame, whatever it says. */
function walkFrames(bytes: Uint8Array): boolean {
  const reader = new FrameReader();
  const frames = parseOr(
    () => [...reader.push(bytes.subarray(0, 7)), ...reader.push(bytes.subarray(7))],
    FrameError,
  );
  if (frames === undefined) return true;
  const cut = frames.reduce((sum, frame) => sum + 4 + frame.length, reader.pendingBytes);
  return cut === bytes.length;
}

const TARGETS: readonly [string, number, readonly Uint8Array[], (bytes: Uint8Array) => boolean][] =
  [
    ['a payload', 0.55, [...PAYLOADS, ...SMALL], walkPayload],
    ['CBOR', 0.25, [...SMALL, ...PAYLOADS, ...BLOCKS], walkCbor],
    ['a block', 0.15, BLOCKS, walkBlock],
    ['a stream of frames', 0.025, [fromHex('00000003010203 0000000104 00010000 05')], walkFrames],
  ];

for (const [what, share, seeds, walk] of TARGETS) {
  const runs = Math.floor(RUNS * share);
  t.test(`${what}: ${runs.toLocaleString('en')} mutations`, async (t) => {
    const began = process.cpuUsage().user;
    const report = fuzz(
      seeds,
      ({ buffer }, length) => walk(new Uint8Array(buffer as ArrayBuffer, 0, length)),
      { runs, budgetMs: BUDGET_MS },
    );
    t.equal(report.failure, '');
    t.equal(report.runs, runs, 'all runs made');
    const seconds = (process.cpuUsage().user - began) / 1e6;
    t.comment(`seed ${report.seed}, ${Math.round(runs / seconds / 1000)} thousand a second of CPU`);
  });
}

/** Values that numbers, lengths and types get wrong. */
const ODD: readonly CborValue[] = [
  0,
  1,
  -1,
  23,
  24,
  33,
  64,
  255,
  65535,
  65536,
  2 ** 24,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  true,
  false,
  '',
  '__proto__',
  'n'.repeat(64),
  '\n',
  new Uint8Array(0),
  new Uint8Array(16),
  new Uint8Array(64),
  new Uint8Array(961),
  [],
  [0],
  new Map(),
  new Map([[0, 2]]),
];

/** The value with one thing in it changed. What comes out is canonical, so all of it is read. */
function changed(value: CborValue, random: Random): CborValue {
  if (random.below(8) === 0) return random.pick(ODD);
  if (typeof value === 'number') return value + random.below(3) - 1;
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'string') return value.slice(random.below(4)) + random.pick(['', 'x', '\t']);
  if (value instanceof Uint8Array) return value.slice(random.below(2), random.below(70));
  if (Array.isArray(value)) {
    const at = random.below(value.length + 1);
    const rest = value.slice(at + 1);
    const here = value.slice(at, at + 1);
    switch (random.below(6)) {
      case 0:
        return [...value.slice(0, at), ...rest];
      case 1:
        return [...value.slice(0, at), ...here, ...here, ...rest];
      default:
        return [...value.slice(0, at), ...here.map((each) => changed(each, random)), ...rest];
    }
  }
  const entries = [...value];
  const at = random.below(entries.length);
  const [key, here] = entries[at] ?? [0, 0];
  const others = entries.filter((_, index) => index !== at);
  switch (random.below(8)) {
    case 0:
      return new Map(others);
    case 1:
      return new Map([...entries, [(entries.at(-1)?.[0] ?? 0) + 1, random.pick(ODD)]]);
    default:
      return new Map(
        entries.map(([each, old]) => [each, each === key ? changed(here, random) : old]),
      );
  }
}

const TREES = Math.floor(RUNS * 0.025);
t.test(`payloads and blocks of odd values: ${TREES.toLocaleString('en')}`, async (t) => {
  const seed = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
  const random = new Random(seed);
  const blocks = BLOCKS.map(decodeCbor);
  const payloads = PAYLOADS.map(decodeCbor);
  for (let run = 0; run < TREES; run++) {
    const isBlock = random.below(2) === 0;
    let value = random.pick(isBlock ? blocks : payloads);
    for (let rounds = 1 + random.below(3); rounds > 0; rounds--) value = changed(value, random);
    const bytes = parseOr(() => encodeCbor(value), CborError);
    if (bytes !== undefined && !(isBlock ? walkBlock(bytes) : walkPayload(bytes))) {
      t.fail(`FANWAY_FUZZ_SEED=${seed} run ${run}: ${toHex(bytes)}`);
      return;
    }
  }
  t.pass(`seed ${seed}`);
});

t.test('a datagram costs at most 64 kB of memory', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  /** As much of one thing as a datagram holds, in an array. */
  const full = (hex: string): Uint8Array => {
    const size = hex.length / 2;
    const count = Math.floor((DATAGRAM_BYTES_MAX - 3) / size);
    return fromHex(`99${count.toString(16).padStart(4, '0')}${hex.repeat(count)}`);
  };
  const datagrams: [string, Uint8Array][] = [
    ...[
      '00',
      '1b000fffffffffffff',
      'f5',
      '60',
      '6161',
      '80',
      '8100',
      'a0',
      'a10000',
      '40',
      '4100',
    ].map((hex): [string, Uint8Array] => [`${hex} again and again`, full(hex)]),
    ['190 acks', fromHex(`98be${'a2000201181e'.repeat(190)}`)],
    ['200 unknown messages', fromHex(`98c8${'a100191e00'.repeat(200)}`)],
    ['223 maps', fromHex(`81 98de ${'a10000'.repeat(222)}`)],
    ['223 byte strings', fromHex(`81 98de ${'4100'.repeat(222)}`)],
    ...PAYLOADS.map((bytes): [string, Uint8Array] => [toHex(bytes).slice(0, 20), bytes]),
  ];
  let most = 0;
  let slowestUs = 0;
  for (const [what, bytes] of datagrams) {
    t.ok(bytes.length <= DATAGRAM_BYTES_MAX, what);
    const readMany = () => {
      for (let run = 0; run < 20; run++) parseOr(() => decodeMessages(bytes), GossipFormatError);
    };
    for (let warm = 0; warm < 10; warm++) readMany();
    collect();
    // The median: now and then a compiler at work adds to the sum, or a collection takes from it.
    const costs = Array.from({ length: 9 }, () => {
      const before = process.memoryUsage();
      const began = performance.now();
      readMany();
      slowestUs = Math.max(slowestUs, (performance.now() - began) * 50);
      const after = process.memoryUsage();
      return (after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers) / 20;
    }).sort((a, b) => a - b);
    const cost = Math.round(costs[4] ?? 0);
    t.ok(cost <= 65536, `${cost} bytes`);
    most = Math.max(most, cost);
  }
  t.ok(most > 10_000, 'the measurement sees something');
  t.comment(
    `at most ${most} bytes and ${slowestUs.toFixed(0)} µs, of ${datagrams.length} datagrams`,
  );
});
