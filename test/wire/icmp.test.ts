import t from 'tap';
import { internetChecksum, pseudoSumIpv6 } from '../../src/wire/checksum.ts';
import { checkIpv4Exact, checkIpv4Sum, checkIpv6 } from '../../src/wire/classify.ts';
import {
  emitIcmpFragmentationNeeded,
  emitIcmpv6TooBig,
  getIcmpCode,
  getIcmpMtu,
  getIcmpType,
  getIcmpv6Mtu,
  mayAnswerIpv4,
  mayAnswerIpv6,
} from '../../src/wire/icmp.ts';
import {
  emitIpv4,
  getIpv4Destination,
  getIpv4Protocol,
  getIpv4Source,
} from '../../src/wire/ipv4.ts';
import { emitIpv6 } from '../../src/wire/ipv6.ts';
import { fromHex, toHex, viewOf } from '../vectors/hex.ts';

const OURS = 0xfa001b01;
const SENDER = 0xfa001b02;
const FAR = 0xfa001c02;

/** A packet with a header of `protocol` and a payload that counts. */
function packetV4(protocol: number, bytes: number, source = SENDER, destination = FAR): Uint8Array {
  const packet = Uint8Array.from({ length: bytes }, (_, index) => index & 255);
  emitIpv4(viewOf(packet), 0, {
    source: source,
    destination: destination,
    protocol: protocol,
    totalBytes: bytes,
    tos: 0,
    ttl: 64,
    identification: 7,
    fragment: 0x4000,
  });
  return packet;
}

t.test('emitIcmpFragmentationNeeded() answers the sender with the MTU', async (t) => {
  for (const bytes of [20, 28, 61, 548, 549, 1500, 9000]) {
    const quoted = packetV4(6, bytes);
    const room = new Uint8Array(600).fill(0xa5);
    const view = viewOf(room);
    const length = emitIcmpFragmentationNeeded(view, 5, OURS, 1450, {
      view: viewOf(quoted),
      at: 0,
      bytes: bytes,
    });
    t.equal(length, Math.min(576, 28 + bytes), `${bytes} bytes: length`);
    t.equal(checkIpv4Exact(view, 5, length), 0, 'whole header');
    t.equal(checkIpv4Sum(view, 5), 0, 'header checksum');
    t.same(
      [getIpv4Source(view, 5), getIpv4Destination(view, 5), getIpv4Protocol(view, 5)],
      [OURS, SENDER, 1],
    );
    t.same([getIcmpType(view, 25), getIcmpCode(view, 25), getIcmpMtu(view, 25)], [3, 4, 1450]);
    t.equal(internetChecksum(view, 25, length - 20), 0, 'ICMP checksum');
    t.equal(toHex(room.subarray(33, 5 + length)), toHex(quoted.subarray(0, length - 28)), 'quote');
    t.ok(
      room.subarray(0, 5).every((byte) => byte === 0xa5),
      'nothing before',
    );
    t.ok(
      room.subarray(5 + length).every((byte) => byte === 0xa5),
      'nothing behind',
    );
  }
});

t.test('emitIcmpv6TooBig() answers the sender with the MTU', async (t) => {
  for (const bytes of [40, 100, 1232, 1233, 1500]) {
    const quoted = Uint8Array.from({ length: bytes }, (_, index) => index & 255);
    emitIpv6(viewOf(quoted), 0, bytes - 40, 6, 64, 5);
    const room = new Uint8Array(1300).fill(0xa5);
    const view = viewOf(room);
    const ours = viewOf(fromHex('fd00 0000 0000 0000 0000 0000 0000 0001'));
    const length = emitIcmpv6TooBig(view, 4, ours, 0, 1430, {
      view: viewOf(quoted),
      at: 0,
      bytes: bytes,
    });
    t.equal(length, Math.min(1280, 48 + bytes), `${bytes} bytes: length`);
    t.equal(checkIpv6(view, 4, length), 0);
    t.equal(toHex(room.subarray(12, 28)), 'fd000000000000000000000000000001', 'source');
    t.equal(toHex(room.subarray(28, 44)), toHex(quoted.subarray(8, 24)), 'destination');
    t.same([getIcmpType(view, 44), getIcmpCode(view, 44), getIcmpv6Mtu(view, 44)], [2, 0, 1430]);
    const pseudo = pseudoSumIpv6(view, 4, 58, length - 40);
    t.equal(internetChecksum(view, 44, length - 40, pseudo), 0, 'checksum');
    t.ok(
      room.subarray(4 + length).every((byte) => byte === 0xa5),
      'nothing behind',
    );
  }
});

t.test('mayAnswerIpv4() is silent where RFC 1122 says so', async (t) => {
  const ask = (packet: Uint8Array): boolean => mayAnswerIpv4(viewOf(packet), 0, packet.length);
  t.ok(ask(packetV4(6, 100)));
  t.ok(ask(packetV4(17, 100)));
  for (const source of [0, 0x7f000001, 0xe0000001, 0xffffffff]) {
    t.notOk(ask(packetV4(6, 100, source)), `source ${source.toString(16)}`);
  }
  for (const destination of [0xe0000001, 0xffffffff]) {
    t.notOk(ask(packetV4(6, 100, SENDER, destination)), `to ${destination.toString(16)}`);
  }
  for (const [type, wanted] of [
    [0, true],
    [8, true],
    [3, false],
    [4, false],
    [5, false],
    [11, false],
    [12, false],
  ] as const) {
    const packet = packetV4(1, 100);
    packet[20] = type;
    t.equal(ask(packet), wanted, `ICMP type ${type}`);
  }
  t.notOk(ask(packetV4(1, 20)), 'ICMP without a header');
  const later = packetV4(6, 100);
  viewOf(later).setUint16(6, 0x2001);
  t.notOk(ask(later), 'a later fragment');
});

t.test('mayAnswerIpv6() is silent where RFC 4443 says so', async (t) => {
  const make = (next: number, source = 'fd', destination = 'fd'): Uint8Array =>
    fromHex(
      `6000 0000 0008 ${next.toString(16).padStart(2, '0')} 40 ${source} ${'00'.repeat(14)}02 ${destination} ${'00'.repeat(14)}03 80 ${'00'.repeat(7)}`,
    );
  const ask = (packet: Uint8Array): boolean => mayAnswerIpv6(viewOf(packet), 0, packet.length);
  t.ok(ask(make(6)));
  t.ok(ask(make(17)));
  t.ok(ask(make(58)), 'echo request');
  const error = make(58);
  error[40] = 1;
  t.notOk(ask(error), 'an error');
  error[40] = 137;
  t.notOk(ask(error), 'a redirect');
  t.notOk(ask(make(58).subarray(0, 40)), 'ICMPv6 without a header');
  t.notOk(ask(make(6, 'ff')), 'multicast source');
  t.notOk(ask(make(6, 'fd', 'ff')), 'multicast destination');
  t.notOk(ask(fromHex(`6000 0000 0000 06 40 ${'00'.repeat(31)}01`)), 'no source');
  t.notOk(ask(make(44)), 'a fragment');
});
