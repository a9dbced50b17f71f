import fc from 'fast-check';
import t from 'tap';
import { DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX } from '../../src/wire/gossip/bounds.ts';
import {
  checkEnvelope,
  EnvelopeFault,
  type EnvelopeHeader,
  EnvelopeKind,
  emitEnvelope,
  getEnvelopeCounter,
  getEnvelopeEpoch,
  getEnvelopeKeyId,
  getEnvelopeKind,
  getEnvelopeSender,
  getEnvelopeSession,
  HEADER_BYTES,
  TAG_BYTES,
} from '../../src/wire/gossip/envelope.ts';
import {
  encodeFrame,
  FRAME_LENGTH_BYTES,
  FrameError,
  FrameReader,
} from '../../src/wire/gossip/frame.ts';
import { NODE, OTHER } from '../vectors/gossip-samples.ts';
import { fromHex, toHex, viewOf } from '../vectors/hex.ts';

const HEADERS: readonly (readonly [EnvelopeHeader, string])[] = [
  [
    {
      kind: EnvelopeKind.Data,
      keyId: 0x01020304,
      sender: NODE,
      epoch: 7,
      session: fromHex('a0a1a2a3a4a5a6a7'),
      counter: 1,
    },
    '01 01 01020304 00112233445566778899aabbccddeeff 00000007 a0a1a2a3a4a5a6a7 0000000000000001',
  ],
  [
    {
      kind: EnvelopeKind.Response,
      keyId: 0xffffffff,
      sender: OTHER,
      epoch: 0xffffffff,
      session: fromHex('ffffffffffffffff'),
      counter: Number.MAX_SAFE_INTEGER,
    },
    '01 03 ffffffff ffeeddccbbaa99887766554433221100 ffffffff ffffffffffffffff 001fffffffffffff',
  ],
  [
    {
      kind: EnvelopeKind.Challenge,
      keyId: 0,
      sender: '0'.repeat(32),
      epoch: 0,
      session: fromHex('0000000000000000'),
      counter: 0x1_0000_0000,
    },
    '01 02 00000000 00000000000000000000000000000000 00000000 0000000000000000 0000000100000000',
  ],
];

function readEnvelope(view: DataView): EnvelopeHeader {
  return {
    kind: getEnvelopeKind(view),
    keyId: getEnvelopeKeyId(view),
    sender: getEnvelopeSender(view),
    epoch: getEnvelopeEpoch(view),
    session: getEnvelopeSession(view),
    counter: getEnvelopeCounter(view),
  };
}

t.test('envelopes: emit and get are inverse', async (t) => {
  for (const [header, hex] of HEADERS) {
    const wanted = fromHex(hex);
    t.equal(wanted.length, HEADER_BYTES);
    // Over old bytes, and within others': the header is written whole and nothing else.
    const room = new Uint8Array(HEADER_BYTES + 8).fill(0xa5);
    emitEnvelope(new DataView(room.buffer, 3), header);
    t.equal(toHex(room), `a5a5a5${toHex(wanted)}a5a5a5a5a5`, hex);
    t.strictSame(readEnvelope(new DataView(room.buffer, 3)), header);
    const datagram = new Uint8Array(HEADER_BYTES + TAG_BYTES);
    datagram.set(wanted);
    t.equal(checkEnvelope(viewOf(datagram)), EnvelopeFault.None);
  }
});

t.test('what cannot be ours is told before any key is tried', async (t) => {
  const datagram = (length: number, change: (view: DataView) => void = () => {}): DataView => {
    const view = new DataView(new ArrayBuffer(length));
    const [[header]] = HEADERS as [(typeof HEADERS)[number]];
    if (length >= HEADER_BYTES) emitEnvelope(view, header);
    change(view);
    return view;
  };
  const least = HEADER_BYTES + TAG_BYTES;
  const rows: [string, DataView, EnvelopeFault][] = [
    ['nothing', datagram(0), EnvelopeFault.Short],
    ['half a header', datagram(HEADER_BYTES - 1), EnvelopeFault.Short],
    ['a tag that is cut', datagram(least - 1), EnvelopeFault.Short],
    ['the least', datagram(least), EnvelopeFault.None],
    ['the most', datagram(DATAGRAM_BYTES_MAX), EnvelopeFault.None],
    ['one byte more', datagram(DATAGRAM_BYTES_MAX + 1), EnvelopeFault.Long],
    ['version 0', datagram(least, (view) => view.setUint8(0, 0)), EnvelopeFault.Version],
    ['version 2', datagram(least, (view) => view.setUint8(0, 2)), EnvelopeFault.Version],
    ['kind 0', datagram(least, (view) => view.setUint8(1, 0)), EnvelopeFault.Kind],
    ['kind 4', datagram(least, (view) => view.setUint8(1, 4)), EnvelopeFault.Kind],
    ['counter 0', datagram(least, (view) => view.setUint32(38, 0)), EnvelopeFault.Counter],
    ['counter 2^53', datagram(least, (view) => view.setUint32(34, 2 ** 21)), EnvelopeFault.Counter],
    ['counter 2^63', datagram(least, (view) => view.setUint32(34, 2 ** 31)), EnvelopeFault.Counter],
  ];
  for (const [what, view, fault] of rows) t.equal(checkEnvelope(view), fault, what);
});

t.test('frames: whatever the pieces, the frames are the same', async (t) => {
  const anyFrames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3000 }), { maxLength: 8 });
  const holds = (frames: Uint8Array[], cuts: number[]): boolean => {
    const stream = Buffer.concat(frames.map(encodeFrame));
    const reader = new FrameReader();
    const ends = [...cuts.map((cut) => cut % (stream.length + 1)), stream.length].sort(
      (a, b) => a - b,
    );
    let from = 0;
    const read = ends.flatMap((end) => {
      const piece = Uint8Array.from(stream.subarray(from, end));
      from = end;
      const found = reader.push(piece);
      piece.fill(0xa5);
      return found;
    });
    return read.map(toHex).join() === frames.map(toHex).join() && reader.pendingBytes === 0;
  };
  fc.assert(fc.property(anyFrames, fc.array(fc.nat(), { maxLength: 12 }), holds), { numRuns: 500 });
  t.ok(holds([new Uint8Array(FRAME_BYTES_MAX), Uint8Array.of(1)], [1, 2, 3, 4, 5, 65539, 65540]));
  t.ok(holds([Uint8Array.of(1, 2)], [0, 1, 2, 3, 4, 5, 6]), 'byte by byte');
});

t.test('frames: a length that lies is refused as soon as it is here', async (t) => {
  const code = (hex: string): string => {
    try {
      new FrameReader().push(fromHex(hex));
    } catch (error) {
      return error instanceof FrameError ? error.code : String(error);
    }
    return 'none';
  };
  t.equal(code('00000000'), 'empty');
  t.equal(code('00010001'), 'too-long');
  t.equal(code('ffffffff'), 'too-long');
  t.equal(code('00000001 41 80000000'), 'too-long', 'behind a good one');
  t.equal(code('00010000'), 'none');
  t.throws(() => encodeFrame(new Uint8Array(0)), { code: 'empty' });
  t.throws(() => encodeFrame(new Uint8Array(FRAME_BYTES_MAX + 1)), { code: 'too-long' });
});

t.test('frames: a promise costs no memory, and a frame at most its size', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  // Each promises 64 kB and sends ten bytes of it.
  const readers = Array.from({ length: 1000 }, () => {
    const reader = new FrameReader();
    reader.push(fromHex('00010000 00112233445566778899'));
    return reader;
  });
  const used = process.memoryUsage().arrayBuffers - before;
  t.ok(used < 1000 * 8192, `${used} bytes for 1,000 promises`);
  t.ok(readers.every((reader) => reader.pendingBytes === FRAME_LENGTH_BYTES + 10));
});
