/**
 * Crafted IPIP and FOU datagrams, each with the end that it must meet (RFC 2003).
 * @module
 */
import { ipv4, udp } from './bytes.ts';
import {
  carry,
  type End,
  type Ground,
  innerProbes,
  innerUdp,
  outer,
  outerProbes,
  type Probe,
} from './probes.ts';

/** Every crafted datagram for a routed link; names are unique. */
export function craftedIp(ground: Ground): Probe[] {
  return [
    ...outerProbes(ground),
    ...payloadProbes(ground),
    ...(ground.encap === 'fou' ? fouProbes(ground) : ipipProbes(ground)),
    ...innerProbes(ground),
  ];
}

function payloadProbes(ground: Ground): Probe[] {
  const packet = innerUdp(ground);
  const probe = (name: string, end: End, payload: Uint8Array, source = ground.peer): Probe => ({
    name: `payload ${name}`,
    end,
    frames: [outer(ground, payload, { source })],
  });
  return [
    ...[0, 1, 8, 18].map((bytes) => probe(`of ${bytes} bytes`, 'runt', packet.subarray(0, bytes))),
    probe('all zero', 'malformed', Buffer.alloc(64)),
    probe('all ones', 'malformed', Buffer.alloc(64, 0xff)),
    probe('of text', 'ipv6', Buffer.from('hello, is anybody there? This is not IP.')),
    // Whoever routes says "time exceeded" to the honest sender, through the tunnel (RFC 1812 §5.3.1).
    ...[0, 1].map((ttl): Probe => {
      const frames = [carry(ground, innerUdp(ground, { ttl }))];
      return { name: `inner TTL ${ttl}`, end: 'delivered', answered: true, frames };
    }),
    probe('with padding behind', 'delivered', Buffer.concat([packet, Buffer.alloc(24)])),
    probe('rubbish of a stranger', 'stranger', Buffer.alloc(5), ground.stranger),
    probe('rubbish of our own', 'own_source', Buffer.alloc(5), ground.victim),
  ];
}

function fouProbes(ground: Ground): Probe[] {
  const packet = innerUdp(ground);
  const probe = (name: string, end: End, transport: Parameters<typeof outer>[3]): Probe => ({
    name: `UDP ${name}`,
    end,
    frames: [outer(ground, packet, {}, transport)],
  });
  return [
    probe('checksum wrong', 'kernel:Udp.InCsumErrors', { checksum: 0x4242 }),
    probe('length beyond the packet', 'kernel:Udp.InErrors', { length: 1400 }),
    probe('length 7', 'kernel:Udp.InErrors', { length: 7 }),
    probe('length that cuts the inner packet', 'malformed', { length: 8 + 24 }),
    probe('from port 0', 'delivered', { sourcePort: 0 }),
    {
      name: 'IP in IP without UDP',
      end: 'kernel',
      answered: true,
      frames: [outer({ ...ground, encap: 'ipip' }, packet)],
    },
  ];
}

function ipipProbes(ground: Ground): Probe[] {
  const packet = innerUdp(ground);
  const probe = (name: string, end: End, fields: Parameters<typeof outer>[2]): Probe => ({
    name: `outer ${name}`,
    end,
    frames: [outer(ground, packet, fields)],
  });
  const ends = { source: ground.inner, destination: ground.container };
  const inTunnel = ipv4(ends, udp(ends, { destinationPort: 5555 }, packet));
  return [
    probe('with options', 'bad_header', { options: Buffer.from([1, 1, 1, 0]) }),
    probe('with forty bytes of options', 'bad_header', { options: Buffer.alloc(40, 1) }),
    probe('total length that cuts the inner packet', 'malformed', { totalBytes: 20 + 24 }),
    probe('total length of the header alone', 'runt', { totalBytes: 20 }),
    // No link of this encapsulation has a port, so this is some service's datagram.
    {
      name: 'inner datagram to a port of FOU',
      end: 'delivered',
      answered: true,
      frames: [carry(ground, inTunnel)],
    },
  ];
}
