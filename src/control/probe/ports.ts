/**
 * The outer source ports of a link to one host, each tried: networks spread flows by them, and a way among
 * several that is broken swallows only the flows of some. A TCP connection to a port where nobody listens
 * is refused at once, so one for each of many inner flows tells whether its outer port gets through; which
 * outer port each has taken is seen on the underlay device.
 * @module
 */
import { connect } from 'node:net';
import { codeOf } from '../../errors.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { Netlink } from '../../sys/netlink/netlink.ts';
import { PacketSocket } from '../../sys/sockets/packet-socket.ts';
import {
  getIpv4HeaderBytes,
  getIpv4Protocol,
  IPV4_HEADER_BYTES,
  PROTOCOL_TCP,
} from '../../wire/ipv4.ts';
import { getTcpDestination, getTcpSource, TCP_HEADER_BYTES } from '../../wire/tcp.ts';
import { getUdpSource, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { outerEnd, outerSight, type Sight, trainOf } from '../capture/sight.ts';
import type { LinkSpec } from '../store/link-spec.ts';

/** Nobody listens there but on purpose (RFC 863). */
const DISCARD_PORT = 9;
const ARPHRD_ETHERNET = 1;
const READ_MAX = 4096;

/** What of a link is needed to see its packets outside. */
export type OuterLink = Pick<LinkSpec, 'encap' | 'local' | 'port' | 'vni'>;

/** Tunnel packets to and from one host, as they cross the underlay device. */
export class OuterWatch {
  readonly #socket: PacketSocket;
  readonly #ethernet: boolean;
  readonly #spec: OuterLink;
  readonly #host: UnderlayAddress;
  /** Packets of the tunnel that left for the host, and that came from it. */
  left = 0;
  back = 0;
  /** Outer source ports by the inner TCP port of what left by them. */
  readonly ports = new Map<number, number>();

  private constructor(
    socket: PacketSocket,
    ethernet: boolean,
    spec: OuterLink,
    host: UnderlayAddress,
  ) {
    this.#socket = socket;
    this.#ethernet = ethernet;
    this.#spec = spec;
    this.#host = host;
  }

  /** undefined where nobody may look: without CAP_NET_RAW, or without a device. */
  static async open(spec: OuterLink, host: UnderlayAddress): Promise<OuterWatch | undefined> {
    const netlink = Netlink.open();
    try {
      const addresses = [...(await netlink.addresses()), ...(await netlink.ipv6Addresses())];
      const index = addresses.find(({ address }) => address === spec.local)?.index;
      if (index === undefined) return undefined;
      const link = await netlink.link(index);
      const socket = new PacketSocket(index);
      return new OuterWatch(socket, link.hardwareType === ARPHRD_ETHERNET, spec, host);
    } catch (error) {
      if (['EPERM', 'EACCES', 'ENODEV', 'ENETDOWN'].includes(codeOf(error))) return undefined;
      throw error;
    } finally {
      netlink.close();
    }
  }

  /** Takes what has passed since the last call. */
  read(): void {
    for (let taken = 0; taken < READ_MAX; taken++) {
      const packet = this.#socket.read();
      if (packet === undefined) return;
      const sight = outerSight(packet.bytes, this.#ethernet, this.#spec);
      if (sight.shim < 0 || (sight.vni >= 0 && sight.vni !== this.#spec.vni)) continue;
      if (packet.outgoing && outerEnd(sight, 'destination') === this.#host) {
        this.left++;
        const port =
          this.#spec.port === 0 ? 0 : getUdpSource(sight.view, sight.shim - UDP_HEADER_BYTES);
        for (const each of trainOf(sight, this.#spec)) this.#note(each, port);
      } else if (!packet.outgoing && outerEnd(sight, 'source') === this.#host) {
        this.back++;
      }
    }
  }

  #note({ view, inner }: Sight, port: number): void {
    if (inner < 0 || inner + IPV4_HEADER_BYTES > view.byteLength) return;
    if (view.getUint8(inner) >>> 4 !== 4 || getIpv4Protocol(view, inner) !== PROTOCOL_TCP) return;
    const tcp = inner + getIpv4HeaderBytes(view, inner);
    if (tcp + TCP_HEADER_BYTES > view.byteLength) return;
    if (getTcpDestination(view, tcp) !== DISCARD_PORT) return;
    this.ports.set(getTcpSource(view, tcp), port);
  }

  close(): void {
    this.#socket.close();
  }
}

/** One outer source port, and whether what went out by it was answered. */
export type TriedPort = { port: number; flows: number; answered: number };

/** Ports that the system gives to nobody by itself: where ours begin, and how many there are. */
const OWN_PORT_MIN = 20_000;
const OWN_PORTS = 10_000;
/** Flows for each outer port: their hashes spread over all of them as dice do. */
const FLOWS_PER_PORT = 5;

/** Whether a connection from a port of ours is answered; undefined where the port is in use. */
function knock(
  from: { address: string; port: number },
  to: string,
  timeoutMs: number,
): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    const ends = { localAddress: from.address, localPort: from.port };
    const socket = connect({ host: to, port: DISCARD_PORT, ...ends });
    const end = (answered: boolean | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    socket.once('connect', () => end(true));
    socket.once('error', (error) => {
      const code = codeOf(error);
      end(code === 'EADDRINUSE' ? undefined : code === 'ECONNREFUSED');
    });
  });
}

/**
 * Sends flows by all outer ports of a link.
 * @param ways our address and the far one in the overlay, u32
 * @returns one row for each outer port that a flow took; the port is 0 where nobody could look
 */
export async function tryPorts(
  spec: LinkSpec,
  ways: { from: number; to: number },
  watch: OuterWatch | undefined,
  timeoutMs: number,
): Promise<TriedPort[]> {
  const flows = spec.sourcePorts * FLOWS_PER_PORT;
  const first = OWN_PORT_MIN + Math.floor(Math.random() * (OWN_PORTS - flows));
  const address = formatIpv4(ways.from);
  const to = formatIpv4(ways.to);
  const answers = await Promise.all(
    Array.from({ length: flows }, async (_, index) => {
      const port = first + index;
      return { port, answered: await knock({ address, port }, to, timeoutMs) };
    }),
  );
  watch?.read();
  const tried = new Map<number, TriedPort>();
  for (const { port: inner, answered } of answers) {
    const port = watch === undefined ? 0 : watch.ports.get(inner);
    // Our own port was in use, or its packets were not seen.
    if (answered === undefined || port === undefined) continue;
    const row = tried.get(port) ?? { port, flows: 0, answered: 0 };
    row.flows++;
    if (answered) row.answered++;
    tried.set(port, row);
  }
  return [...tried.values()].sort((a, b) => a.port - b.port);
}
