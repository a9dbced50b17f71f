/**
 * The data path without devices and sockets: what it would send and write is counted, or copied
 * while results are compared. System calls are therefore not in the figures.
 * @module
 */

import { TooBig } from '../../src/dataplane/answer/too-big.ts';
import { Egress } from '../../src/dataplane/egress/egress.ts';
import { Arena, IOVEC_BYTES, MMSGHDR_BYTES, MSGHDR } from '../../src/dataplane/ground/arena.ts';
import { DataEndpoint, DataLink, readTables } from '../../src/dataplane/ground/link.ts';
import { PeerTable } from '../../src/dataplane/ground/peers.ts';
import {
  type Device,
  KernelPorts,
  type Ports,
  type Underlay,
} from '../../src/dataplane/ground/ports.ts';
import { emitSockaddr, SOCKADDR_BYTES } from '../../src/dataplane/ground/sockaddr.ts';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { BACKLOGS_BYTES } from '../../src/dataplane/pace/catch-up.ts';
import { ErrorQueue } from '../../src/dataplane/send/errors.ts';
import { PathMtu } from '../../src/dataplane/send/path-mtu.ts';
import { Trains } from '../../src/dataplane/send/trains.ts';
import { LinkEncap } from '../../src/encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import { EAGAIN } from '../../src/sys/libc/constants.ts';
import { EndpointKind, Offload } from '../../src/table/links/links.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../src/wire/ipv4.ts';
import { VIRTIO_NET_BYTES } from '../../src/wire/virtio-net.ts';
import { OVERLAY6_WORD } from './packets.ts';

const ARENA_BYTES = (28 << 20) + BACKLOGS_BYTES;
const VXLAN_PORT = 4789;
const UNDERLAY_MTU = 1500;
const INNER_MTU = 1450;
/** The listening socket and the pool of source ports, as links have them by default. */
const SOCKETS = Array.from({ length: 17 }, (_, index) => 1000 + index);

/** Hosts of the rig: 172.30.0.27 sends, 172.30.0.28 receives. */
export const SENDER = 0xac1e001b;
export const RECEIVER = 0xac1e001c;
export const OVERLAY = 0xfa000000;

/** Overlay and underlay of a link; several links of 256 hosts fit beside each other. */
export type Fan = {
  overlay: number;
  overlayLength: number;
  underlayLength: number;
  /** The network of fd00:fa::/32, which it has too; absent = it has no IPv6. */
  vni6?: number;
};
export const WIDE_FAN: Fan = { overlay: OVERLAY, overlayLength: 8, underlayLength: 16 };
export const VNI6 = 0xfd00fa;
export const DUAL_FAN: Fan = { ...WIDE_FAN, vni6: VNI6 };

/** What the row of a link says of its IPv6 overlay. */
function sixWords({ vni6 }: Fan): {
  overlay6Word0?: number;
  overlay6Length?: number;
  vni6?: number;
} {
  return vni6 === undefined ? {} : { overlay6Word0: OVERLAY6_WORD, overlay6Length: 32, vni6 };
}

export class Rig {
  readonly arena = new Arena(ARENA_BYTES);
  readonly peers = new PeerTable(this.arena);
  readonly links: DataLink[] = [];
  readonly endpoints: DataEndpoint[] = [];
  readonly coalescer: Coalescer;
  readonly ingress: Ingress;
  readonly egress: Egress;
  /** Datagrams sent, or frames written, since {@link record}; undefined while times are taken. */
  #copies: Uint8Array[] | undefined;

  /**
   * VXLAN links, one for each fan, on the host `local`.
   * @param shared all on one endpoint, or each on its own
   */
  constructor(local: number, fans: readonly Fan[] = [WIDE_FAN], shared = true) {
    const { arena, peers } = this;
    const ports = this.#ports();
    const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
    layout.initialize();
    const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
    segment.initialize(1);
    const tables = readTables(segment);
    for (const [id, fan] of fans.entries()) {
      let endpoint = shared ? this.endpoints[0] : undefined;
      if (endpoint === undefined) {
        endpoint = new DataEndpoint(
          {
            kind: EndpointKind.Udp,
            localAddress: local,
            localPort: VXLAN_PORT,
            offloads: Offload.Segment | Offload.Gro,
            sockets: SOCKETS,
          },
          ports.underlay,
        );
        this.endpoints.push(endpoint);
      }
      const record = {
        id,
        encap: LinkEncap.Vxlan,
        deviceFd: -1,
        offloads: Offload.VnetHeader | Offload.Tso | Offload.Uso,
        endpoint: 0,
        overlayAddress: fan.overlay,
        overlayLength: fan.overlayLength,
        underlayAddress: local,
        underlayLength: fan.underlayLength,
        localAddress: local,
        vni: fan.overlay >>> 8,
        peerPort: VXLAN_PORT,
        innerMtu: INNER_MTU,
        underlayMtu: UNDERLAY_MTU,
        gateway: 0,
        superBytesToHost: IPV4_PACKET_BYTES_MAX,
        superBytesToPorts: IPV4_PACKET_BYTES_MAX,
        dscpUniform: 0,
        ...sixWords(fan),
      };
      const link = new DataLink(record, endpoint, { layout, tables, peers, ports });
      this.links.push(link);
      endpoint.add(link);
    }
    this.sender = arena.allocate(SOCKADDR_BYTES);
    emitSockaddr(arena.view, this.sender, SENDER, VXLAN_PORT);
    this.coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
    this.ingress = new Ingress(arena, this.coalescer, this.links);
    const paths = new PathMtu(peers, { configured: () => 0, current: () => 0 });
    const trains = new Trains(arena, layout, paths, new ErrorQueue(arena, peers));
    this.egress = new Egress(layout, { arena, trains, paths, tooBig: new TooBig(arena) });
  }

  get link(): DataLink {
    const [link] = this.links;
    if (link === undefined) throw new RangeError('a rig without links');
    return link;
  }

  get endpoint(): DataEndpoint {
    return this.link.endpoint;
  }

  /** Where the socket address of {@link SENDER} stands, as a receive leaves it. */
  readonly sender: number;

  /** Room in the arena with `bytes` in it, `headroom` free bytes in front; returns where they are. */
  place(bytes: Uint8Array, headroom = 64): number {
    const offset = this.arena.allocate(headroom + bytes.length + 64) + headroom;
    this.arena.bytes.set(bytes, offset);
    return offset;
  }

  /** Doors that lead nowhere; each call succeeds at once. */
  #ports(): Ports {
    const real = new KernelPorts(this.arena);
    const underlay: Underlay = {
      send: (_socket, messages, count) => {
        if (this.#copies !== undefined) this.#copySends(messages, count);
        return count;
      },
      receive: () => 0,
      readError: () => -EAGAIN,
      clearError: () => {},
    };
    const device: Device = {
      read: () => -EAGAIN,
      write: (iovec, count) => {
        if (this.#copies !== undefined) this.#copyWrite(iovec, count);
        return 1;
      },
      writePiece: (_at, bytes) => bytes,
    };
    return { device: () => device, close: () => {}, underlay, waiting: real.waiting };
  }

  /** What `work` sends (datagrams, a train cut into its pieces) or writes, in order. */
  record(work: () => void): Uint8Array[] {
    const copies: Uint8Array[] = [];
    this.#copies = copies;
    work();
    this.#copies = undefined;
    return copies;
  }

  #gather(iovec: number, count: number): Uint8Array {
    const { view, bytes, base } = this.arena;
    const pieces: Uint8Array[] = [];
    for (let at = iovec; at < iovec + count * IOVEC_BYTES; at += IOVEC_BYTES) {
      const start = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32 - base;
      pieces.push(bytes.subarray(start, start + view.getUint32(at + 8, true)));
    }
    return Buffer.concat(pieces);
  }

  #copySends(messages: number, count: number): void {
    const { view, base } = this.arena;
    for (let at = messages; at < messages + count * MMSGHDR_BYTES; at += MMSGHDR_BYTES) {
      const pointer = (field: number): number =>
        view.getUint32(at + field, true) + view.getUint32(at + field + 4, true) * 2 ** 32 - base;
      const whole = this.#gather(pointer(MSGHDR.IOV), view.getUint32(at + MSGHDR.IOV_LENGTH, true));
      const controlBytes = view.getUint32(at + MSGHDR.CONTROL_LENGTH, true);
      // Everything here has TOS 0, so a control message can only be the size of a train's pieces.
      const each =
        controlBytes === 0 ? whole.length : view.getUint16(pointer(MSGHDR.CONTROL) + 16, true);
      for (let from = 0; from < whole.length; from += each) {
        this.#copies?.push(whole.subarray(from, from + each));
      }
    }
  }

  #copyWrite(iovec: number, count: number): void {
    this.#copies?.push(this.#gather(iovec, count).subarray(VIRTIO_NET_BYTES));
  }
}

/** Bytes as sorted hex, for comparing what may come in another order. */
export function sortedHex(list: readonly Uint8Array[]): string[] {
  return list.map((bytes) => Buffer.from(bytes).toString('hex')).sort();
}
