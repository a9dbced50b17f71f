/**
 * Crafted VXLAN datagrams, each with the end that it must meet (RFC 7348).
 * @module
 */
import { type ArpFields, arp, vxlan } from './bytes.ts';
import {
  type End,
  type Ground,
  INNER_MAC,
  inFrame,
  innerProbes,
  innerUdp,
  outer,
  outerProbes,
  type Probe,
} from './probes.ts';

/** Every crafted VXLAN datagram; names are unique. */
export function craftedVxlan(ground: Ground): Probe[] {
  return [
    ...outerProbes(ground),
    ...udpProbes(ground),
    ...headerProbes(ground),
    ...frameProbes(ground),
    ...arpProbes(ground),
    ...innerProbes(ground),
  ];
}

function udpProbes(ground: Ground): Probe[] {
  const honest = vxlan(ground.vni, inFrame(ground, innerUdp(ground)));
  const probe = (name: string, end: End, transport: Parameters<typeof outer>[3]): Probe => ({
    name: `UDP ${name}`,
    end,
    frames: [outer(ground, honest, {}, transport)],
  });
  return [
    probe('checksum right', 'delivered', { checksum: 'right' }),
    probe('checksum wrong', 'kernel:Udp.InCsumErrors', { checksum: 0x4242 }),
    probe('length beyond the packet', 'kernel:Udp.InErrors', { length: 1400 }),
    probe('length 7', 'kernel:Udp.InErrors', { length: 7 }),
    probe('length that cuts the inner packet', 'malformed', { length: 8 + 8 + 14 + 24 }),
    probe('from port 0', 'delivered', { sourcePort: 0 }),
    probe("from the tunnel's own port", 'delivered', { sourcePort: ground.port }),
  ];
}

function headerProbes(ground: Ground): Probe[] {
  const probes: Probe[] = [];
  const frame = inFrame(ground, innerUdp(ground));
  const add = (name: string, end: End, payload: Uint8Array, source = ground.peer): void => {
    probes.push({ name: `VXLAN ${name}`, end, frames: [outer(ground, payload, { source })] });
  };
  const whole = vxlan(ground.vni, frame);
  for (const bytes of [0, 1, 2, 3, 4, 5, 6, 7]) {
    add(`of ${bytes} bytes`, 'runt', whole.subarray(0, bytes));
  }
  add('header alone', 'runt', whole.subarray(0, 8));
  const flags = (name: string, word: number): void =>
    add(name, 'bad_header', vxlan(ground.vni, frame, { flags: word }));
  flags('without the I flag', 0);
  flags('with all flags', 0xff000000);
  flags('with the P flag of GPE', 0x0c000000);
  flags('with the O flag of GPE', 0x09000000);
  flags('with the B flag of GPE', 0x0a000000);
  flags('with a version of GPE', 0x18000000);
  flags('with the G flag of GBP', 0x88000000);
  flags('with a policy of GBP', 0x88000001);
  flags('with reserved bit 8', 0x08800000);
  flags('with reserved bit 31', 0x08000001);
  flags('with all reserved bits', 0x08ffffff);
  const tail = (name: string, reserved: number): void =>
    add(name, 'bad_header', vxlan(ground.vni, frame, { reserved }));
  tail('with 1 behind the VNI', 1);
  tail('with 255 behind the VNI', 255);
  for (const vni of [0, 1, 0xffffff, ground.vni + 1, ground.vni - 1, ground.vni ^ 0x800000]) {
    add(`for VNI ${vni}`, 'wrong_vni', vxlan(vni, frame));
  }
  add('rubbish of a stranger', 'stranger', Buffer.alloc(3), ground.stranger);
  add("stranger's flags", 'stranger', vxlan(ground.vni, frame, { flags: 0 }), ground.stranger);
  add("stranger's VNI", 'stranger', vxlan(9, frame), ground.stranger);
  add('our own flags', 'own_source', vxlan(ground.vni, frame, { flags: 0 }), ground.victim);
  return probes;
}

function frameProbes(ground: Ground): Probe[] {
  const probes: Probe[] = [];
  const packet = innerUdp(ground);
  const add = (name: string, end: End, frame: Uint8Array): void => {
    probes.push({ name: `frame ${name}`, end, frames: [outer(ground, vxlan(ground.vni, frame))] });
  };
  add('of 13 bytes', 'runt', inFrame(ground, packet).subarray(0, 13));
  add('of 14 bytes', 'runt', inFrame(ground, packet).subarray(0, 14));
  add('from a group address', 'bad_mac', inFrame(ground, packet, { source: 0x01005e000001 }));
  add('from broadcast', 'bad_mac', inFrame(ground, packet, { source: 0xffffffffffff }));
  add('to broadcast', 'broadcast', inFrame(ground, packet, { destination: 0xffffffffffff }));
  add('to a group', 'broadcast', inFrame(ground, packet, { destination: 0x01005e0000fb }));
  add(
    'to an unknown station',
    'delivered',
    inFrame(ground, packet, { destination: 0x020000000001 }),
  );
  const typed = (name: string, etherType: number, end: End = 'unknown_ethertype'): void => {
    const tagged = Buffer.concat([Buffer.from([0, 5, 8, 0]), packet]);
    add(name, end, inFrame(ground, tagged, { etherType }));
  };
  typed('with a VLAN tag', 0x8100);
  typed('with a service tag', 0x88a8);
  typed('with an old double tag', 0x9100);
  typed('of IPv6', 0x86dd, 'ipv6');
  typed('of LLDP', 0x88cc);
  typed('of MPLS', 0x8847);
  typed('of PPPoE', 0x8863);
  typed('of RARP', 0x8035);
  typed('of 802.1X', 0x888e);
  typed('of a bridge protocol', 38);
  typed('of length 0', 0);
  typed('of type 0xffff', 0xffff);
  const stack = Buffer.concat([
    ...Array.from({ length: 8 }, () => Buffer.from([0, 5, 0x81, 0])),
    packet,
  ]);
  add('with nine VLAN tags', 'unknown_ethertype', inFrame(ground, stack, { etherType: 0x8100 }));
  add('padded', 'delivered', Buffer.concat([inFrame(ground, packet), Buffer.alloc(20)]));
  return probes;
}

function arpProbes(ground: Ground): Probe[] {
  const honest: ArpFields = {
    operation: 2,
    senderMac: INNER_MAC,
    sender: ground.inner,
    targetMac: ground.containerMac,
    target: ground.container,
  };
  const probe = (name: string, end: End, fields: Partial<ArpFields>, bytes = 28): Probe => {
    const message = arp({ ...honest, ...fields }).subarray(0, bytes);
    const frame = inFrame(ground, message, { etherType: 0x0806 });
    return {
      name: `ARP ${name}`,
      end,
      frames: [outer(ground, vxlan(ground.vni, frame))],
    };
  };
  return [
    probe('reply', 'delivered', {}),
    probe('of 27 bytes', 'runt', {}, 27),
    probe('for token ring', 'malformed', { hardware: 6 }),
    probe('for IPv6', 'malformed', { protocol: 0x86dd }),
    probe('with other lengths', 'malformed', { lengths: 0x0810 }),
    probe('operation 0', 'malformed', { operation: 0 }),
    probe('operation 3', 'malformed', { operation: 3 }),
    probe('of another slice', 'foreign_source', { sender: ground.otherInner }),
    probe('of our gateway', 'foreign_source', { sender: ground.slice + 1 }),
    probe('of our container', 'foreign_source', { sender: ground.container }),
    probe('probe without sender', 'foreign_source', { sender: 0, operation: 1 }),
    probe('announcing itself', 'foreign_destination', { target: ground.inner }),
    probe('for another slice', 'foreign_destination', { target: ground.otherInner }),
    probe('for the Internet', 'foreign_destination', { target: 0x08080808, operation: 1 }),
  ];
}
