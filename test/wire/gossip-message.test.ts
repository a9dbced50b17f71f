import fc from 'fast-check';
import t from 'tap';
import { blockBytes, decodeBlock, encodeBlock, itemBytes } from '../../src/wire/gossip/block.ts';
import * as bounds from '../../src/wire/gossip/bounds.ts';
import { GossipFormatError } from '../../src/wire/gossip/fields.ts';
import {
  decodeMessages,
  encodeMessages,
  messageBytes,
  PAYLOAD_OVERHEAD_BYTES,
} from '../../src/wire/gossip/message.ts';
import { nodeIdBytes, nodeIdOf } from '../../src/wire/gossip/node-id.ts';
import {
  type Block,
  type Item,
  ItemKind,
  type Message,
  MessageType,
  type OwnerSummary,
  type PeerItem,
  type RawBlock,
  type SequenceRange,
} from '../../src/wire/gossip/types.ts';
import {
  BLOCK,
  LAST_BLOCK,
  MESSAGES,
  NETWORK_BLOCK,
  NODE,
  PEER,
  RULES_BLOCK,
  SIX_BLOCK,
} from '../vectors/gossip-samples.ts';

const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const ascii = (maxLength: number) =>
  fc.string({
    unit: fc.integer({ min: 32, max: 126 }).map((code) => String.fromCharCode(code)),
    maxLength,
  });
const anyBytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const nodeId = anyBytes(bounds.NODE_ID_BYTES).map(nodeIdOf);
const endpoint = fc.record({ address: u32, port: fc.integer({ min: 1, max: 0xffff }) });
const prefix = fc
  .record({ address: u32, length: fc.nat(32) })
  .map(({ address, length }) => ({ address: address - (address % 2 ** (32 - length)), length }));
const announced = { vni: fc.nat(0xffffff), rank: fc.nat(bounds.RANK_MAX) };

const peer: fc.Arbitrary<PeerItem> = fc.record({
  kind: fc.constant(ItemKind.Peer),
  name: ascii(bounds.NAME_CHARS_MAX),
  endpoints: fc.array(endpoint, { maxLength: bounds.ENDPOINTS_MAX }),
  encaps: fc.array(
    fc.record({
      encap: fc.constantFrom('vxlan' as const, 'ipip' as const, 'fou' as const),
      port: u16,
    }),
    { maxLength: bounds.ENCAPS_MAX },
  ),
  mtu: u16,
  vnis: fc.array(fc.nat(0xffffff), { maxLength: bounds.VNIS_MAX }),
  fans: fc.array(fc.record({ overlay: prefix, underlay: prefix, local: u32 }), {
    maxLength: bounds.RECORD_FANS_MAX,
  }),
  version: ascii(bounds.VERSION_CHARS_MAX),
  capabilities: fc.array(u16, { maxLength: bounds.CAPABILITIES_MAX }),
  instance: anyBytes(bounds.INSTANCE_BYTES),
});
const mac = fc.nat(0xffffffffffff);
const item: fc.Arbitrary<Item> = fc.oneof(
  { weight: 1, arbitrary: peer },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant(ItemKind.Mac), ...announced, mac }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant(ItemKind.MacAddress),
      ...announced,
      mac,
      address: u32,
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ ...announced, prefix })
      .map(({ prefix, ...rest }) => ({ kind: ItemKind.Prefix, ...rest, ...prefix })),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant(ItemKind.FloodMember), ...announced }) },
);
/** Ascending, disjoint, from 1 up. */
const ranges: fc.Arbitrary<SequenceRange[]> = fc
  .array(fc.tuple(fc.nat(1000), fc.nat(100000)), { maxLength: 40 })
  .map((steps) => {
    let next = 1;
    return steps.map(([gap, more]): SequenceRange => {
      const first = next + gap;
      next = first + more + 1;
      return [first, next - 1];
    });
  });
const block: fc.Arbitrary<Block> = fc
  .record({
    publicKey: anyBytes(bounds.PUBLIC_KEY_BYTES),
    epoch: u32,
    live: ranges,
    above: fc.integer({ min: 1, max: 1000 }),
    left: fc.boolean(),
    items: fc.array(item, { maxLength: bounds.ITEMS_PER_BLOCK_MAX }),
  })
  .map(({ above, ...rest }) => ({ ...rest, sequence: (rest.live.at(-1)?.[1] ?? 0) + above }))
  .filter((made) => blockBytes(made) <= bounds.BLOCK_BYTES_MAX);

const version = fc.record({ epoch: u32, sequence: u32 });
const rawBlock: fc.Arbitrary<RawBlock> = fc.record({
  body: fc.uint8Array({ minLength: 1, maxLength: bounds.BLOCK_BYTES_MAX }),
  signature: anyBytes(bounds.SIGNATURE_BYTES),
});
const summary: fc.Arbitrary<OwnerSummary> = fc.record({
  owner: nodeId,
  epoch: u32,
  head: u32,
  held: u32,
  check: u32,
});
const accusation = { node: nodeId, version, accuser: nodeId };
const is = fc.constant;
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: is(MessageType.Ping), number: u32, target: nodeId }),
  fc.record({ type: is(MessageType.Ack), number: u32 }),
  fc.record({ type: is(MessageType.PingRequest), number: u32, target: nodeId, endpoint }),
  fc.record({ type: is(MessageType.Nack), number: u32 }),
  fc.record({ type: is(MessageType.Suspect), ...accusation }),
  fc.record({ type: is(MessageType.Dead), ...accusation, ageSeconds: u32 }),
  fc.record({ type: is(MessageType.Blocks), blocks: fc.array(rawBlock, { maxLength: 20 }) }),
  fc.record({ type: is(MessageType.Digest), hash: anyBytes(bounds.TABLE_HASH_BYTES) }),
  fc.record({ type: is(MessageType.Buckets), hashes: anyBytes(256) }),
  fc.record({
    type: is(MessageType.Owners),
    bucket: fc.nat(63),
    reply: fc.boolean(),
    owners: fc.array(summary, { maxLength: 20 }),
  }),
  fc.record({ type: is(MessageType.Want), owner: nodeId, epoch: u32, ranges }),
  fc.record({
    ...{ type: is(MessageType.Ask), question: fc.integer({ min: 1, max: 255 }) },
    about: fc.string({ maxLength: 64 }).map((text) => text.replace(/[^ -~]/g, '')),
    publicKey: anyBytes(32),
    signature: anyBytes(64),
  }),
  fc.record({ type: is(MessageType.Told), part: fc.uint8Array({ maxLength: 200 }) }),
  fc.record({
    type: is(MessageType.Seek),
    vni: fc.nat(0xff_ffff),
    addresses: fc.array(fc.oneof(u32, nodeId), { maxLength: 32 }),
  }),
);

t.test('blocks: encode and decode are inverse, and the size is foretold', async (t) => {
  let made = 0;
  const holds = (value: Block): boolean => {
    made += 1;
    const body = encodeBlock(value);
    const items = value.items.reduce((sum, each) => sum + itemBytes(each), 0);
    const empty = blockBytes({ ...value, items: [] });
    const foretold = empty + items + (value.items.length > 23 ? 1 : 0);
    return (
      foretold === body.length &&
      blockBytes(value) === body.length &&
      same(decodeBlock(body), value)
    );
  };
  fc.assert(fc.property(block, holds), { numRuns: 1000 });
  t.ok(made >= 1000, `${made} blocks`);
  for (const value of [BLOCK, LAST_BLOCK]) t.strictSame(decodeBlock(encodeBlock(value)), value);
});

t.test('messages: encode and decode are inverse, and the size is foretold', async (t) => {
  const holds = (messages: Message[]): boolean => {
    const payload = encodeMessages(messages);
    const items = messages.reduce((sum, each) => sum + messageBytes(each), 0);
    return (
      payload.length - items >= 1 &&
      payload.length - items <= PAYLOAD_OVERHEAD_BYTES &&
      same(decodeMessages(payload), { messages, skipped: 0 })
    );
  };
  fc.assert(fc.property(fc.array(message, { maxLength: 40 }), holds), { numRuns: 1000 });
  t.strictSame(decodeMessages(encodeMessages(MESSAGES)), { messages: MESSAGES, skipped: 0 });
});

/** Deep equality without a line of output for each case. */
function same(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b));
  return left.length === right.size && left.every(([key, value]) => same(value, right.get(key)));
}

t.test('every number has its codec', async (t) => {
  t.same(
    MESSAGES.map(({ type }) => type),
    Object.values(MessageType),
    'one sample of each message, in order',
  );
  const blocks = [BLOCK, NETWORK_BLOCK, RULES_BLOCK, SIX_BLOCK];
  const kinds = blocks.flatMap(({ items }) => items.map(({ kind }) => kind));
  t.same(decodeBlock(encodeBlock(SIX_BLOCK)), SIX_BLOCK);
  t.same([...new Set(kinds)], Object.values(ItemKind));
});

t.test('a tunnel endpoint names its servers, in fields that older readers skip', async (t) => {
  const plain: Item = {
    ...{ kind: ItemKind.Vtep, vni: 300, rank: 0, address: 0xac1e001d, port: 4789, roles: 0 },
  };
  const servers = { dhcpServers: [0x02420a000001], routers: [0x02420a000001, 0x02420a000002] };
  const of = (item: Item): Block => ({ ...NETWORK_BLOCK, items: [item] });
  for (const item of [plain, { ...plain, ...servers }]) {
    t.strictSame(decodeBlock(encodeBlock(of(item))), of(item));
  }
  const none = { ...plain, dhcpServers: [], routers: [] };
  t.same(encodeBlock(of(none)), encodeBlock(of(plain)), 'none are not written');
  const many = { ...plain, routers: Array.from({ length: 9 }, (_, i) => i + 1) };
  t.throws(() => encodeBlock(of(many)), { code: 'bound' });
});

t.test('a full peer record fits into a block with a few ranges', async (t) => {
  const full: PeerItem = {
    ...PEER,
    name: 'n'.repeat(bounds.NAME_CHARS_MAX),
    endpoints: Array.from({ length: bounds.ENDPOINTS_MAX }, () => ({
      address: 2 ** 32 - 1,
      port: 65535,
    })),
    encaps: Array.from({ length: bounds.ENCAPS_MAX }, () => ({ encap: 'fou', port: 65535 })),
    vnis: Array.from({ length: bounds.VNIS_MAX }, () => 0xffffff),
    fans: Array.from({ length: bounds.RECORD_FANS_MAX }, () => ({
      overlay: { address: 0xfa000000, length: 8 },
      underlay: { address: 0xffffff00, length: 24 },
      local: 0xffffffff,
    })),
    version: 'v'.repeat(bounds.VERSION_CHARS_MAX),
    capabilities: Array.from({ length: bounds.CAPABILITIES_MAX }, () => 65535),
  };
  const live = Array.from(
    { length: 4 },
    (_, at): SequenceRange => [at * 1000 + 500, at * 1000 + 900],
  );
  const value: Block = { ...BLOCK, epoch: 2 ** 32 - 1, sequence: 2 ** 32 - 1, live, items: [full] };
  t.strictSame(decodeBlock(encodeBlock(value)), value);
  t.comment(`${blockBytes(value)} bytes`);
});

t.test('a block of the largest size fits a datagram with all that is around it', async (t) => {
  const blocks = [{ body: new Uint8Array(bounds.BLOCK_BYTES_MAX), signature: new Uint8Array(64) }];
  const payload = encodeMessages([
    { type: MessageType.Ping, number: 2 ** 32 - 1, target: NODE },
    { type: MessageType.Blocks, blocks },
  ]);
  // Header and tag, as in envelope.ts.
  t.ok(payload.length + 42 + 16 <= bounds.DATAGRAM_BYTES_MAX, `${payload.length} bytes`);
});

t.test('what nobody could read is not written', async (t) => {
  const many = <T>(length: number, value: T): T[] => Array.from({ length }, () => value);
  const peerWith = (fields: Partial<PeerItem>) => () => itemBytes({ ...PEER, ...fields });
  const blockWith = (fields: Partial<Block>) => () => encodeBlock({ ...BLOCK, ...fields });
  const macOf = (value: number) => () =>
    itemBytes({ kind: ItemKind.Mac, vni: 1, rank: 0, mac: value });
  const rows: [string, () => unknown, string][] = [
    ['a long name', peerWith({ name: 'n'.repeat(64) }), 'bound'],
    ['a name with a line break', peerWith({ name: 'a\nb' }), 'text'],
    ['a name beyond ASCII', peerWith({ name: 'h\u00f4te' }), 'text'],
    ['an endpoint without a port', peerWith({ endpoints: [{ address: 1, port: 0 }] }), 'bound'],
    ['too many endpoints', peerWith({ endpoints: many(9, { address: 1, port: 1 }) }), 'bound'],
    ['too many VNIs', peerWith({ vnis: many(65, 1) }), 'bound'],
    ['a short instance', peerWith({ instance: new Uint8Array(7) }), 'bound'],
    ['half a byte of MTU', peerWith({ mtu: 1500.5 }), 'bound'],
    ['a negative MAC', macOf(-1), 'bound'],
    ['a MAC of seven bytes', macOf(2 ** 48), 'bound'],
    ['half a MAC', macOf(0.5), 'bound'],
    [
      'host bits',
      () => itemBytes({ kind: ItemKind.Prefix, vni: 0, rank: 0, address: 1, length: 31 }),
      'host-bits',
    ],
    ['sequence 0', blockWith({ sequence: 0, live: [] }), 'bound'],
    ['a block that names itself', blockWith({ live: [[300, 300]] }), 'ranges'],
    [
      'ranges that touch twice',
      blockWith({
        live: [
          [1, 5],
          [5, 6],
        ],
      }),
      'ranges',
    ],
    ['a range from 0', blockWith({ live: [[0, 5]] }), 'ranges'],
    ['a range that runs backwards', blockWith({ live: [[5, 4]] }), 'ranges'],
    [
      'too many ranges',
      blockWith({ live: Array.from({ length: 97 }, (_, at) => [2 * at + 1, 2 * at + 1] as const) }),
      'bound',
    ],
    ['too many items', blockWith({ items: many(65, BLOCK.items[4] as Item) }), 'bound'],
    ['too many bytes', blockWith({ items: many(12, PEER) }), 'bound'],
    [
      'no node id',
      () => encodeMessages([{ type: MessageType.Ping, number: 1, target: 'x' }]),
      'text',
    ],
    [
      'an unknown message',
      () => encodeMessages([{ type: 99, number: 1 } as unknown as Message]),
      'bound',
    ],
    ['too many messages', () => encodeMessages(many(201, MESSAGES[1] as Message)), 'bound'],
  ];
  for (const [what, work, code] of rows)
    t.throws(work, { name: GossipFormatError.name, code }, what);
});

t.test('node ids are 32 lower-case hex digits', async (t) => {
  t.equal(nodeIdOf(nodeIdBytes(NODE)), NODE);
  for (const wrong of ['', NODE.slice(1), `${NODE}0`, NODE.toUpperCase(), `g${NODE.slice(1)}`]) {
    t.throws(() => nodeIdBytes(wrong), { code: 'text' }, wrong);
  }
  t.throws(() => nodeIdOf(new Uint8Array(15)), { code: 'bound' });
});
