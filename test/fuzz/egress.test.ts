import t from 'tap';
import type { LinkEncap } from '../../src/encap/encap.ts';
import { EVENT_BASE, unaccounted } from '../../src/table/counters.ts';
import { emitIpv4 } from '../../src/wire/ipv4.ts';
import { emitTcp } from '../../src/wire/tcp.ts';
import { emitVirtioNet, setVirtioGso } from '../../src/wire/virtio-net.ts';
import { balance, makeEgress, makeRig, RIG, received } from './dataplane-rig.ts';
import { fuzz } from './mutate.ts';
import { FRAMES, IP_PACKETS, VIRTIO_FRAMES, VIRTIO_PACKETS } from './seeds.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

const SLOT_BYTES = 70_000;
const HEADROOM_BYTES = 256;

/** Name, encapsulation, virtio-net header before each packet, seeds. */
const TARGETS: readonly [string, keyof typeof LinkEncap, boolean, readonly Uint8Array[]][] = [
  ['frames of a TAP', 'Vxlan', false, FRAMES],
  ['frames of a TAP with virtio-net header', 'Vxlan', true, VIRTIO_FRAMES],
  ['packets of a TUN', 'Fou', false, IP_PACKETS],
  ['packets of a TUN with virtio-net header', 'Fou', true, VIRTIO_PACKETS],
  ['packets of a TUN for IPIP', 'Ipip', true, VIRTIO_PACKETS],
];

for (const [what, encap, vnet, seeds] of TARGETS) {
  t.test(`egress takes mutated ${what}`, async (t) => {
    const { arena, layout, peers, link } = makeRig(encap, vnet, RIG.sender);
    const egress = makeEgress({ arena, layout, peers });
    const slot = arena.allocate(SLOT_BYTES);
    const vnetBytes = vnet ? 10 : 0;
    let packets = 0;
    /** Runs one packet with `noise` all around it; the packet counters afterwards. */
    const run = (packet: Uint8Array, noise: number): Float64Array => {
      link.counters.fill(0);
      const start = slot + HEADROOM_BYTES;
      arena.bytes.fill(noise, start - 40, start);
      arena.bytes.fill(noise, start + packet.length, start + packet.length + 160);
      arena.bytes.set(packet, start);
      egress.packet(link, start + vnetBytes, packet.length - vnetBytes);
      egress.flush();
      return link.counters.slice(0, EVENT_BASE);
    };
    const report = fuzz(seeds, (view, length) => {
      if (length < vnetBytes) return true;
      packets += 1;
      const packet = new Uint8Array(view.buffer, 0, length);
      const first = run(packet, 0x00);
      if (balance(first, 'egress') !== 0 || received(first, 'egress') === 0) return false;
      if ((packets & 3) !== 0) return true;
      // What stands around the packet must not decide anything.
      const second = run(packet, 0xff);
      return first.every((count, index) => count === second[index]);
    });
    egress.flush();
    t.equal(report.failure, '');
    t.comment(`${report.runs} runs, seed ${report.seed}`);
    t.ok(packets > report.runs / 2, `${packets} packets`);
    for (const seed of seeds) run(seed, 0);
  });
}

t.test('egress refuses a super-packet of absurdly many segments', async (t) => {
  const { arena, layout, peers, link, counters } = makeRig('Fou', true, RIG.sender);
  const egress = makeEgress({ arena, layout, peers });
  const packet = arena.allocate(SLOT_BYTES) + HEADROOM_BYTES;
  const guard = arena.allocate(1);
  const bytes = 60_000;
  for (const gsoBytes of [1, 2, 14, 28, 29, 30, 536, 1432, 65_535]) {
    emitVirtioNet(arena.view, packet - 10, 1, 20, 16);
    setVirtioGso(arena.view, packet - 10, 1, 40, gsoBytes);
    emitIpv4(arena.view, packet, {
      source: 0xfa001b02,
      destination: 0xfa001c02,
      protocol: 6,
      totalBytes: bytes,
      tos: 0,
      ttl: 64,
      identification: 1,
      fragment: 0x4000,
    });
    emitTcp(arena.view, packet + 20, {
      source: 50_000,
      destination: 443,
      sequence: 1,
      acknowledge: 1,
      flags: 0x10,
      window: 65_535,
    });
    t.doesNotThrow(() => egress.packet(link, packet, bytes), `segments of ${gsoBytes} bytes`);
    egress.flush();
    t.equal(unaccounted(counters(), 'egress'), 0, 'every segment has one end');
    t.equal(arena.bytes[guard], 0, 'nothing written behind');
  }
  t.ok((counters()['egress.drop.unsupported_offload'] ?? 0) >= 59_960);
});
