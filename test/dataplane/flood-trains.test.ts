/** Floods of super-packets and of packets whose checksum was left to us: whole for every member. */
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { serveNetworks } from '../../src/dataplane/networks.ts';
import { BumMode, LinkKind } from '../../src/shm/network.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { addToSum, foldSum, pseudoSumIpv4 } from '../../src/wire/checksum.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
} from '../../src/wire/virtio-net.ts';
import { balance, makeRig, makeWayOut, RIG } from '../fuzz/dataplane-rig.ts';
import { tcp, udp } from '../support/bytes.ts';
import { FAN, frame, packet, vxlan } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { cut, finishPacket } from './oracle.ts';
import { Sends } from './sends.ts';

const MEMBERS = [0xac1e_001c, 0xac1e_001d, 0xac1e_001e];
const ENDS = { source: FAN.source, destination: FAN.destination };
const [ETHERNET_BYTES, IP_BYTES, VNET_BYTES] = [14, 20, 10];

/** One packet of a guest: what its virtio-net header says, and what has to arrive. */
type Guest = { bytes: Uint8Array; gsoType: number; gsoBytes: number; wanted: Uint8Array[] };

function guest(protocol: 6 | 17, payloadBytes: number, gsoBytes: number): Guest {
  const body = Buffer.from(Array.from({ length: payloadBytes }, (_, i) => (i * 7) & 0xff));
  const transport =
    protocol === 6
      ? tcp(ENDS, { destinationPort: 80, sequence: 77, flags: 0x18 }, body)
      : udp(ENDS, { destinationPort: 80 }, body);
  const whole = packet({
    ...{ protocol, checksumAt: -1 },
    payload: Buffer.from(transport).toString('hex'),
  });
  const isSuper = gsoBytes > 0;
  const finished = Uint8Array.from(whole);
  finishPacket(finished);
  // The stack leaves the pseudo header's sum in the field.
  const view = viewOf(whole);
  const field = IP_BYTES + (protocol === 6 ? 16 : 6);
  const pseudo = pseudoSumIpv4(view, 0, protocol, transport.length);
  view.setUint16(field, foldSum(addToSum(view, 0, 0, pseudo)));
  const superType = protocol === 6 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_UDP_L4;
  return {
    ...{ bytes: whole, gsoBytes, gsoType: isSuper ? superType : VIRTIO_GSO_NONE },
    wanted: isSuper ? cut(finished, gsoBytes) : [finished],
  };
}

t.test('every member gets the same packets, as the oracle cuts them', async (t) => {
  const rig = makeRig('Vxlan', true, RIG.sender, undefined, {
    ...{ kind: LinkKind.Vni, bum: BumMode.Learn },
  });
  const { arena, layout, link, ports, tables } = rig;
  const { egress, trains } = makeWayOut(rig);
  const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
  const ingress = new Ingress(arena, coalescer, [link]);
  serveNetworks(egress, ingress, { arena, layout, trains, coalescer, segment: tables.segment });
  for (const host of MEMBERS) {
    tables.floodWriter.add(0, tables.peerWriter.intern(ipv4Bytes(host)));
  }
  const sends = new Sends({ arena, ports });
  t.teardown(() => sends.restore());
  const at = arena.allocate(70_000) + 64;
  const guests: [string, Guest][] = [
    ['TCP in segments', guest(6, 10_000, 1000)],
    ['TCP with a short last segment', guest(6, 10_001, 1400)],
    ['UDP in datagrams', guest(17, 9000, 1200)],
    ['one TCP segment', guest(6, 500, 0)],
    ['one UDP datagram', guest(17, 501, 0)],
  ];
  for (const [what, { bytes, gsoType, gsoBytes, wanted }] of guests) {
    sends.sent.length = 0;
    link.counters.fill(0);
    const inner = frame(bytes);
    const l4 = ETHERNET_BYTES + IP_BYTES;
    const field = bytes[9] === 6 ? 16 : 6;
    emitVirtioNet(arena.view, at - VNET_BYTES, VIRTIO_NEEDS_CSUM, l4, field);
    setVirtioGso(arena.view, at - VNET_BYTES, gsoType, 0, gsoBytes);
    arena.bytes.set(inner, at);
    egress.packet(link, at, inner.length);
    egress.flush();
    const hexes = wanted.map((one) => Buffer.from(vxlan(frame(one))).toString('hex'));
    for (const member of MEMBERS) {
      const met = sends.sent.filter(({ peer }) => peer === member);
      t.same(
        met.map((one) => one.bytes.toString('hex')),
        hexes,
        `${what}: ${hexes.length} packets`,
      );
    }
    t.equal(balance(link.counters, 'egress'), 0);
  }
});
