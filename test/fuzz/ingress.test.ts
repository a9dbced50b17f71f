import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import type { LinkEncap } from '../../src/encap/encap.ts';
import { EVENT_BASE, ingressIndex } from '../../src/table/counters.ts';
import { nameOf } from '../support/peers.ts';
import { balance, makeRig, RIG, received } from './dataplane-rig.ts';
import { FUZZ_RUNS, fuzz } from './mutate.ts';
import { IP_PACKETS, IPIP_DATAGRAMS, repairIpv4, VXLAN_DATAGRAMS } from './seeds.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

const SLOT_BYTES = 70_000;
const HEADROOM_BYTES = 256;
const STRANGER = 0x08080808;

/** Name, encapsulation, virtio-net header towards the device, seeds, where the inner IP begins. */
const TARGETS: readonly [string, keyof typeof LinkEncap, boolean, readonly Uint8Array[], number][] =
  [
    ['VXLAN datagrams', 'Vxlan', true, VXLAN_DATAGRAMS, 22],
    ['VXLAN datagrams without offloads', 'Vxlan', false, VXLAN_DATAGRAMS, 22],
    ['FOU datagrams', 'Fou', true, IP_PACKETS, 0],
    ['IPIP datagrams', 'Ipip', true, IPIP_DATAGRAMS, 20],
  ];

/** Datagrams refused for their outer source, or for an outer header that nobody could send. */
function unwelcome(column: Float64Array): number {
  const names = ['drop.stranger', 'drop.bad_header'] as const;
  return names.reduce((sum, name) => sum + (column[ingressIndex(name)] ?? 0), 0);
}

for (const [what, encap, vnet, seeds, l3] of TARGETS) {
  t.test(`ingress takes mutated ${what}`, async (t) => {
    const { arena, layout, link, endpoint, counters } = makeRig(encap, vnet, RIG.receiver);
    const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
    const ingress = new Ingress(arena, coalescer, [link]);
    const slot = arena.allocate(SLOT_BYTES);
    let packets = 0;
    /** Runs one message with `noise` all around it; the packet counters afterwards. */
    const run = (bytes: Uint8Array, noise: number, source: number, segment: number) => {
      link.counters.fill(0);
      const start = slot + HEADROOM_BYTES;
      arena.bytes.fill(noise, start - 40, start);
      arena.bytes.fill(noise, start + bytes.length, start + bytes.length + 160);
      arena.bytes.set(bytes, start);
      ingress.message(endpoint, start, bytes.length, nameOf(arena, source), packets & 255, segment);
      coalescer.flush();
      return link.counters.slice(0, EVENT_BASE);
    };
    const report = fuzz(seeds, (view, length) => {
      packets += 1;
      // Wrong checksums would hide what stands behind that check; one in four keeps them.
      if ((packets & 3) !== 0 && length > l3) repairIpv4(view, l3, length - l3);
      const bytes = new Uint8Array(view.buffer, 0, length);
      const source = packets % 17 === 0 ? STRANGER : RIG.sender;
      const segment = packets % 13 === 0 ? (length >> 1) + 1 : 0;
      const first = run(bytes, 0x00, source, segment);
      if (balance(first, 'ingress') !== 0 || received(first, 'ingress') === 0) return false;
      if (source === STRANGER && unwelcome(first) !== received(first, 'ingress')) return false;
      if ((packets & 3) !== 1) return true;
      // What stands around the packet must not decide anything.
      const second = run(bytes, 0xff, source, segment);
      return first.every((count, index) => count === second[index]);
    });
    t.equal(report.failure, '');
    t.comment(`${report.runs} runs, seed ${report.seed}`);
    t.equal(report.runs, FUZZ_RUNS, 'all runs made in time');
    let passed = 0;
    for (const bytes of seeds) {
      run(bytes, 0, RIG.sender, 0);
      passed += counters()['ingress.drop.device_error'] ?? 0;
    }
    t.ok(passed >= 4, `${passed} of ${seeds.length} seeds reach the device`);
  });
}
