import t from 'tap';
import { CborError, decodeCbor, encodeCbor } from '../../src/wire/cbor.ts';
import { decodeBlock } from '../../src/wire/gossip/block.ts';
import { GossipFormatError } from '../../src/wire/gossip/fields.ts';
import { decodeMessages, encodeMessages } from '../../src/wire/gossip/message.ts';
import { MessageType } from '../../src/wire/gossip/types.ts';
import { HOSTILE_CBOR } from '../vectors/gossip-hostile.ts';
import {
  HONEST_BLOCKS,
  HONEST_PAYLOADS,
  HOSTILE_BLOCKS,
  HOSTILE_PAYLOADS,
} from '../vectors/gossip-hostile-records.ts';
import { fromHex } from '../vectors/hex.ts';

/** What `work` throws, or undefined. */
function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

t.test(`${HOSTILE_CBOR.length} crafted encodings each get their code`, async (t) => {
  for (const [what, hex, code] of HOSTILE_CBOR) {
    const bytes = fromHex(hex);
    const error = thrown(() => decodeCbor(bytes));
    t.ok(error instanceof CborError && error.code === code, `${what}: ${String(error)}`);
    // The same as a payload and as a block: one error class for whoever reads from a socket.
    const wrapped = thrown(() => decodeMessages(bytes));
    t.match(wrapped, { name: GossipFormatError.name, code: 'cbor', cause: { code } }, what);
  }
});

t.test(`${HOSTILE_PAYLOADS.length} crafted payloads each get their code`, async (t) => {
  for (const [what, hex, code] of HOSTILE_PAYLOADS) {
    const error = thrown(() => decodeMessages(fromHex(hex)));
    t.ok(error instanceof GossipFormatError && error.code === code, `${what}: ${String(error)}`);
  }
});

t.test(`${HOSTILE_BLOCKS.length} crafted blocks each get their code`, async (t) => {
  for (const [what, hex, code] of HOSTILE_BLOCKS) {
    const error = thrown(() => decodeBlock(fromHex(hex)));
    t.ok(error instanceof GossipFormatError && error.code === code, `${what}: ${String(error)}`);
  }
});

t.test('there are 150 of them, and none twice', async (t) => {
  const all = [HOSTILE_CBOR, HOSTILE_PAYLOADS, HOSTILE_BLOCKS].map((cases) =>
    cases.map(([what, hex]) => `${what} ${hex}`),
  );
  t.ok(all.flat().length >= 150, `${all.flat().length} cases`);
  for (const cases of all) t.equal(new Set(cases).size, cases.length);
});

t.test('the same records without the lie are read', async (t) => {
  for (const hex of HONEST_PAYLOADS) t.equal(decodeMessages(fromHex(hex)).skipped, 0, hex);
  for (const hex of HONEST_BLOCKS) t.ok(decodeBlock(fromHex(hex)), hex);
});

t.test('after every refusal the next honest payload is read', async (t) => {
  const message = { type: MessageType.Ack, number: 7 } as const;
  const honest = encodeMessages([message]);
  for (const [what, hex] of HOSTILE_CBOR) {
    thrown(() => decodeCbor(fromHex(hex)));
    const { messages } = decodeMessages(honest);
    if (messages[0]?.type !== MessageType.Ack || messages[0].number !== 7) t.fail(what);
  }
  thrown(() => encodeCbor([1, Number.NaN]));
  t.strictSame(decodeMessages(honest).messages, [message]);
});
