import t from 'tap';
import {
  interfaceBlock,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  PcapngDirection,
  packetBlock,
  sectionHeaderBlock,
} from '../../src/wire/pcapng.ts';
import { fromHex, toHex, viewOf } from '../vectors/hex.ts';

const plain = (hex: string): string => hex.replace(/\s+/g, '');

t.test('blocks are laid out as the draft draws them', async (t) => {
  t.equal(
    toHex(sectionHeaderBlock()),
    plain('0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000'),
  );
  t.equal(
    toHex(sectionHeaderBlock('fanway')),
    plain(
      '0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffffffffffff 0400 0600 66616e776179 0000 00000000 2c000000',
    ),
  );
  t.equal(
    toHex(interfaceBlock(LINKTYPE_ETHERNET, 0, 'fan0')),
    plain('01000000 20000000 0100 0000 00000000 0200 0400 66616e30 00000000 20000000'),
  );
  t.equal(
    toHex(interfaceBlock(LINKTYPE_RAW, 96)),
    plain('01000000 14000000 6500 0000 60000000 14000000'),
  );
  t.equal(
    toHex(
      packetBlock({ interfaceIndex: 1, timeUs: 0x1_0000_0002 + 0.9, bytes: fromHex('aabbccddee') }),
    ),
    plain(
      '06000000 28000000 01000000 01000000 02000000 05000000 05000000 aabbccddee000000 28000000',
    ),
  );
  t.equal(
    toHex(
      packetBlock({
        interfaceIndex: 0,
        timeUs: 3,
        bytes: fromHex('aabbccdd'),
        originalBytes: 1500,
        direction: PcapngDirection.Outbound,
        comment: 'x',
      }),
    ),
    plain(`06000000 38000000 00000000 00000000 03000000 04000000 dc050000 aabbccdd
      0100 0100 78000000 0200 0400 02000000 00000000 38000000`),
  );
});

t.test('a reader that walks by length meets every block', async (t) => {
  const file = Buffer.concat([
    sectionHeaderBlock('fanway 0.1.0'),
    interfaceBlock(LINKTYPE_ETHERNET, 0, 'eth0'),
    interfaceBlock(LINKTYPE_RAW, 0, 'fw-250-0-28'),
    ...Array.from({ length: 40 }, (_, bytes) =>
      packetBlock({
        interfaceIndex: bytes & 1,
        timeUs: Date.now() * 1000,
        bytes: new Uint8Array(bytes),
        comment: 'c'.repeat(bytes),
      }),
    ),
  ]);
  const view = viewOf(file);
  let blocks = 0;
  for (let at = 0; at < file.length; blocks++) {
    const length = view.getUint32(at + 4, true);
    t.equal(length % 4, 0);
    t.equal(view.getUint32(at + length - 4, true), length);
    at += length;
  }
  t.equal(blocks, 43);
});
