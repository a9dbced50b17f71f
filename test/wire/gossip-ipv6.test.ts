import fc from 'fast-check';
import t from 'tap';
import { decodeBlock, encodeBlock } from '../../src/wire/gossip/block.ts';
import * as bounds from '../../src/wire/gossip/bounds.ts';
import { decodeMessages, encodeMessages } from '../../src/wire/gossip/message.ts';
import {
  type Block,
  ItemKind,
  type Message,
  MessageType,
  type PeerItem,
} from '../../src/wire/gossip/types.ts';
import { BLOCK, NODE } from '../vectors/gossip-samples.ts';
import { toHex } from '../vectors/hex.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const host = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(hex);
const [sample] = BLOCK.items.filter((item) => item.kind === ItemKind.Peer);

function blockOf(item: PeerItem): Block {
  return { ...BLOCK, items: [item] };
}

t.test('endpoints and fans of IPv6 come back, those of IPv4 before them', async (t) => {
  if (sample?.kind !== ItemKind.Peer) throw new Error('no sample');
  const peer = sample;
  fc.assert(
    fc.property(fc.array(host, { maxLength: 3 }), fc.nat(128), (hosts, length) => {
      const bits = 128 - length;
      const network = (text: string): string =>
        ((BigInt(`0x${text}`) >> BigInt(bits)) << BigInt(bits)).toString(16).padStart(32, '0');
      const endpoints = hosts.map((address) => ({ address, port: 7946 }));
      const fans = hosts.map((local) => ({
        overlay: { address: 0xfa000000, length: 8 },
        underlay: { address: network(local), length },
        local,
      }));
      const item = {
        ...peer,
        endpoints: [...peer.endpoints, ...endpoints],
        fans: [...peer.fans, ...fans],
      };
      const [read] = decodeBlock(encodeBlock(blockOf(item))).items;
      t.strictSame(read, item);
    }),
    { numRuns: 100 },
  );
  t.equal(
    toHex(encodeBlock(blockOf(peer))),
    toHex(encodeBlock(blockOf({ ...peer, endpoints: [...peer.endpoints] }))),
    'without any of IPv6 nothing is written of it',
  );
});

t.test('as many as a host tells of itself fit', async (t) => {
  if (sample?.kind !== ItemKind.Peer) throw new Error('no sample');
  const local = 'f'.repeat(32);
  const full: PeerItem = {
    ...sample,
    name: 'n'.repeat(bounds.NAME_CHARS_MAX),
    endpoints: Array.from({ length: 4 }, () => ({ address: local, port: 65535 })),
    vnis: Array.from({ length: bounds.VNIS_MAX }, () => 0xffffff),
    fans: Array.from({ length: bounds.RECORD_FANS_MAX }, () => ({
      overlay: { address: 0xfa000000, length: 8 },
      underlay: { address: `${'f'.repeat(28)}0000`, length: 112 },
      local,
    })),
  };
  t.strictSame(decodeBlock(encodeBlock(blockOf(full))).items, [full]);
});

t.test('underlays of both families come back; none is no field', async (t) => {
  if (sample?.kind !== ItemKind.Peer) throw new Error('no sample');
  const net = { address: 0xac1f0000, length: 16 };
  const six = { address: `${'f'.repeat(28)}0000`, length: 112 };
  const underlays = [
    { first: 0xac1e001c, underlay: net, local: 0xac1f0063 },
    { first: 0xac1e001c, underlay: { ...net, address: 0xac200000 }, local: 0 },
    { first: 'f'.repeat(32), underlay: six, local: `${'f'.repeat(31)}0` },
  ];
  const item = { ...sample, underlays };
  t.strictSame(decodeBlock(encodeBlock(blockOf(item))).items, [item]);
  const none = encodeBlock(blockOf({ ...sample, underlays: [] }));
  t.equal(toHex(none), toHex(encodeBlock(blockOf(sample))));
  const [first] = underlays;
  if (first === undefined) throw new Error('no underlay');
  for (const [what, wrong] of [
    ['two families', [{ ...first, local: 'f'.repeat(32) }]],
    ['bits below', [{ ...first, underlay: { address: 1, length: 16 } }]],
    ['too many', Array.from({ length: bounds.RECORD_UNDERLAYS_MAX + 1 }, () => first)],
  ] as const) {
    t.throws(() => encodeBlock(blockOf({ ...sample, underlays: [...wrong] })), what);
  }
});

t.test('what is wrong of IPv6 is refused', async (t) => {
  if (sample?.kind !== ItemKind.Peer) throw new Error('no sample');
  const peer = sample;
  const fan = { overlay: { address: 0xfa000000, length: 8 }, local: '0'.repeat(32) };
  const wrong: [string, Partial<PeerItem>][] = [
    ['no address', { endpoints: [{ address: 'fd00::1', port: 1 }] }],
    ['bits below', { fans: [{ ...fan, underlay: { address: 'f'.repeat(32), length: 112 } }] }],
    ['two families', { fans: [{ ...fan, underlay: { address: 0, length: 0 } }] }],
    [
      'more than eight in all',
      {
        endpoints: Array.from({ length: 9 }, (_, i) => ({
          address: i < 5 ? i : '0'.repeat(32),
          port: 1,
        })),
      },
    ],
  ];
  for (const [name, part] of wrong) {
    t.throws(() => encodeBlock(blockOf({ ...peer, ...part })), { name: 'GossipFormatError' }, name);
  }
});

t.test('a member is asked for another at an IPv6 endpoint', async (t) => {
  const message: Message = {
    ...{ type: MessageType.PingRequest, number: 5, target: NODE },
    endpoint: { address: 'fd000030000000000000000000000001', port: 7946 },
  };
  t.strictSame(decodeMessages(encodeMessages([message])).messages, [message]);
});
