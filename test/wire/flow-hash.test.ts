import t from 'tap';
import { emitEthernet } from '../../src/wire/ethernet.ts';
import {
  DYNAMIC_PORT_COUNT,
  flowHash,
  frameHash,
  outerSourcePort,
} from '../../src/wire/flow-hash.ts';
import { emitIpv4 } from '../../src/wire/ipv4.ts';
import { emitIpv6 } from '../../src/wire/ipv6.ts';
import { fromHex, viewOf } from '../vectors/hex.ts';

type Flow = { source: number; destination: number; protocol: number; ports: number };
const FLOW: Flow = { source: 0xfa001b02, destination: 0xfa001c02, protocol: 6, ports: 0xc35001bb };

/** A 40-byte IPv4 packet of the flow, at an odd place in its buffer. */
function packet(flow: Flow, fragment = 0x4000, total = 40): DataView {
  const view = viewOf(new Uint8Array(60));
  const { source, destination, protocol, ports } = flow;
  emitIpv4(view, 3, {
    source: source,
    destination: destination,
    protocol: protocol,
    totalBytes: total,
    tos: 0,
    ttl: 64,
    identification: 1,
    fragment: fragment,
  });
  view.setUint32(23, ports);
  return view;
}

t.test('flowHash() looks at the five-tuple and at nothing else', async (t) => {
  const hash = flowHash(packet(FLOW), 3);
  t.ok(Number.isInteger(hash) && hash >= 0 && hash <= 0xffffffff);
  const same = packet(FLOW);
  same.setUint8(4, 0xbb);
  same.setUint8(11, 9);
  same.setUint16(7, 555);
  same.setUint32(27, 77);
  t.equal(flowHash(same, 3), hash, 'TOS, TTL, identification and sequence do not matter');
  t.not(flowHash(packet({ ...FLOW, source: FLOW.source + 1 }), 3), hash);
  t.not(flowHash(packet({ ...FLOW, destination: FLOW.destination + 1 }), 3), hash);
  t.not(flowHash(packet({ ...FLOW, protocol: 17 }), 3), hash);
  t.not(flowHash(packet({ ...FLOW, ports: FLOW.ports + 1 }), 3), hash);
});

t.test('flowHash() keeps the pieces of a datagram together', async (t) => {
  const first = packet(FLOW, 0x2000);
  const later = packet({ ...FLOW, ports: 0xdeadbeef }, 0x0005);
  t.equal(flowHash(first, 3), flowHash(later, 3));
});

t.test('flowHash() does not read ports that are not there', async (t) => {
  const bytes = fromHex('4500 0017 0000 4000 4011 0000 0a000001 0a000002 c35001');
  t.ok(flowHash(viewOf(bytes), 0) >= 0, 'three bytes of payload');
  t.equal(flowHash(viewOf(fromHex('00')), 0), 0, 'no IP version');
  const v6 = viewOf(new Uint8Array(43));
  emitIpv6(v6, 0, 3, 17, 64, 5);
  t.ok(flowHash(v6, 0) >= 0, 'three bytes behind IPv6');
});

t.test('flowHash() of IPv6 takes ports, or the flow label behind extensions', async (t) => {
  const make = (next: number, label: number, ports: number): DataView => {
    const view = viewOf(new Uint8Array(48));
    emitIpv6(view, 0, 8, next, 64, label);
    view.setUint32(40, ports);
    return view;
  };
  t.equal(flowHash(make(6, 1, 9), 0), flowHash(make(6, 2, 9), 0), 'label ignored beside ports');
  t.not(flowHash(make(6, 1, 9), 0), flowHash(make(6, 1, 8), 0));
  t.not(flowHash(make(44, 1, 9), 0), flowHash(make(44, 2, 9), 0), 'label behind a fragment header');
});

t.test('frameHash() hashes the IP flow, or the addresses of anything else', async (t) => {
  const view = viewOf(new Uint8Array(64));
  emitEthernet(view, 0, 1, 2, 0x0800);
  emitIpv4(view, 14, {
    source: FLOW.source,
    destination: FLOW.destination,
    protocol: 6,
    totalBytes: 40,
    tos: 0,
    ttl: 64,
    identification: 1,
    fragment: 0,
  });
  view.setUint32(34, FLOW.ports);
  t.equal(frameHash(view, 0), flowHash(packet(FLOW), 3));
  emitEthernet(view, 0, 1, 2, 0x0806);
  const arp = frameHash(view, 0);
  emitEthernet(view, 0, 1, 3, 0x0806);
  t.not(frameHash(view, 0), arp);
});

t.test('neighbouring flows spread evenly over a pool of ports', async (t) => {
  for (const count of [1, 8, 64, DYNAMIC_PORT_COUNT]) {
    const seen = new Map<number, number>();
    const flows = 16_384;
    for (let index = 0; index < flows; index++) {
      const port = outerSourcePort(
        flowHash(packet({ ...FLOW, ports: 0x80000050 + index * 65536 }), 3),
        count,
      );
      seen.set(port, (seen.get(port) ?? 0) + 1);
      if (port < 49152 || port >= 49152 + count) t.fail(`port ${port} of ${count}`);
    }
    const most = Math.max(...seen.values());
    const mean = flows / count;
    // Six standard deviations of a fair throw.
    t.ok(most <= mean + 6 * Math.sqrt(mean) + 6, `${count} ports: at most ${most}, mean ${mean}`);
    if (count <= 64) t.equal(seen.size, count, `${count} ports: all used`);
  }
  t.equal(outerSourcePort(0xffffffff, 1), 49152);
  t.equal(outerSourcePort(0xffffffff, DYNAMIC_PORT_COUNT), 65535);
});
