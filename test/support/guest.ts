/**
 * The victim's container as a guest that may write any frame, and the tunnel packets that its host
 * makes of them, seen on the underlay.
 * @module
 */
import { openIpip, openUdp } from '../../src/sys/sockets/sockets.ts';
import { ethernet, ipv4 } from './bytes.ts';
import { sleep } from './patience.ts';
import type { Encapsulation, Target } from './target.ts';
import type { Wire } from './wire.ts';

/** One tunnel packet on the underlay, taken apart. */
export type TunnelPacket = {
  /** The outer IPv4 packet. */
  bytes: Buffer;
  source: number;
  destination: number;
  tos: number;
  ttl: number;
  /** Flags and offset word. */
  fragment: number;
  /** 0 where there are no ports. */
  sourcePort: number;
  destinationPort: number;
  /** The inner IP packet (or ARP message). */
  inner: Buffer;
};

/** Takes a frame of the underlay apart; undefined when it is no tunnel packet of `encap`. */
export function tunnelPacket(
  frame: Buffer,
  encap: Encapsulation,
  port: number,
): TunnelPacket | undefined {
  if (frame.length < 34 || frame.readUInt16BE(12) !== 0x0800) return undefined;
  const bytes = frame.subarray(14, 14 + frame.readUInt16BE(16));
  const protocol = bytes[9];
  const isUdp = encap !== 'ipip';
  if (protocol !== (isUdp ? 17 : 4)) return undefined;
  if (isUdp && bytes.readUInt16BE(22) !== port) return undefined;
  const shimBytes = { vxlan: 8 + 8 + 14, fou: 8, ipip: 0 }[encap];
  return {
    bytes,
    source: bytes.readUInt32BE(12),
    destination: bytes.readUInt32BE(16),
    tos: bytes[1] ?? 0,
    ttl: bytes[8] ?? 0,
    fragment: bytes.readUInt16BE(6),
    sourcePort: isUdp ? bytes.readUInt16BE(20) : 0,
    destinationPort: isUdp ? bytes.readUInt16BE(22) : 0,
    inner: bytes.subarray(20 + shimBytes),
  };
}

export class Guest {
  readonly wire: Wire;
  readonly #target: Target;
  readonly #encap: Encapsulation;
  readonly #port: number;
  readonly #nextHopMac: number;

  private constructor(target: Target, encap: Encapsulation, port: number, nextHopMac: number) {
    this.#target = target;
    this.#encap = encap;
    this.#port = port;
    this.#nextHopMac = nextHopMac;
    this.wire = target.wire(target.lab.container(0), 'eth0');
  }

  /** Listens at the attacker's too, so that no kernel there answers "port unreachable". */
  static async create(target: Target, encap: Encapsulation, port: number): Promise<Guest> {
    const { attacker, victim, bridge } = target;
    target.keepOpen(
      attacker.run(() =>
        encap === 'ipip'
          ? openIpip(attacker.address).fd
          : openUdp(attacker.address, port, { offload: false, reusePort: false }).fd,
      ),
    );
    // Bridged, any station behind the tunnel; routed, the gateway.
    const mac = encap === 'vxlan' ? 0x020000000077 : (await victim.netlink.link(bridge)).address;
    const guest = new Guest(target, encap, port, mac);
    await guest.#warmUp();
    return guest;
  }

  /** A port that just joined a bridge may lose its first frame: sends until one gets through. */
  async #warmUp(): Promise<void> {
    const source = this.#target.lab.container(0).address;
    const destination = this.#target.sliceOf(this.#target.attacker.address) + 200;
    for (let attempt = 0; attempt < 50; attempt++) {
      this.send(ipv4({ source, destination, protocol: 253 }, Buffer.alloc(8)));
      if ((await this.collect(1, 100)).length > 0) return;
    }
    throw new Error('no packet of the guest reaches the underlay');
  }

  /** Sends an IPv4 packet towards the tunnel. */
  send(packet: Uint8Array): void {
    this.sendFrame(ethernet(this.#nextHopMac, this.#target.containerMac, 0x0800, packet));
  }

  sendFrame(frame: Uint8Array): void {
    this.wire.send(frame);
  }

  /** Tunnel packets that reached the underlay's far end since the last call. */
  tunnelled(): TunnelPacket[] {
    return this.#target.underlay
      .arrived()
      .flatMap((frame) => tunnelPacket(frame, this.#encap, this.#port) ?? []);
  }

  /** Waits for `count` tunnel packets; fewer after `ms`. */
  async collect(count: number, ms = 2000): Promise<TunnelPacket[]> {
    const deadline = Date.now() + ms;
    const found: TunnelPacket[] = [];
    for (;;) {
      found.push(...this.tunnelled());
      if (found.length >= count || Date.now() > deadline) return found;
      await sleep(2);
    }
  }
}
