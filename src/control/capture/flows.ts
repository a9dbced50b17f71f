/**
 * Flows of the overlay as they pass this host, and what of each does not come out at the other side of the
 * router: each packet is seen on the link's device and again, encapsulated, on the underlay device. For a
 * process that does nothing else; the router has nothing to do with it, and it costs nothing when it is
 * not asked for.
 * @module
 */
import { formatIpv4 } from '../../net/ipv4.ts';
import { formatIpv6 } from '../../net/ipv6.ts';
import { getIpv4TotalBytes } from '../../wire/ipv4.ts';
import { getIpv6PayloadBytes, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { getTcpHeaderBytes } from '../../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';
import type { WireSpec } from '../store/link-spec.ts';
import { openTaps, readTaps, type SeenLink } from './capture.ts';
import { type CaptureFilter, transportOf } from './filter.ts';
import { type Sight, trainOf } from './sight.ts';

/** Flows that are told apart; what comes later is counted together. */
export const FLOWS_MAX = 8192;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;

/** One way of a flow at one place: what the transport carries, bytes, and packets as they were seen. */
type Seen = { packets: number; bytes: number };
/** Ways: from this host's containers into the tunnel, and out of it. */
type Way = 'egress' | 'ingress';

/** A flow between an address here and one elsewhere. */
export type Flow = {
  protocol: number;
  /** Addresses as text, with the port where there is one. */
  here: string;
  there: string;
  inside: Record<Way, Seen>;
  outside: Record<Way, Seen>;
};

function seenNothing(): Record<Way, Seen> {
  return { egress: { packets: 0, bytes: 0 }, ingress: { packets: 0, bytes: 0 } };
}

function endText(sight: Sight, end: 'source' | 'destination', port: string): string {
  const { view, inner } = sight;
  if (view.getUint8(inner) >>> 4 === 4) {
    return formatIpv4(view.getUint32(inner + (end === 'source' ? 12 : 16))) + port;
  }
  const at = view.byteOffset + inner + (end === 'source' ? 8 : 24);
  const address = formatIpv6(new Uint8Array(view.buffer, at, 16));
  return port === '' ? address : `[${address}]${port}`;
}

/** Bytes that the transport of a packet carries; its header may not be whole. */
function carriedBytes({ view, inner }: Sight, protocol: number, offset: number): number {
  const isFour = view.getUint8(inner) >>> 4 === 4;
  const claimed = isFour
    ? getIpv4TotalBytes(view, inner)
    : IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, inner);
  // A super-packet longer than 64 kB says 0.
  const end = claimed === 0 ? view.byteLength : inner + claimed;
  if (offset < 0) return Math.max(0, end - inner);
  let header = 0;
  if (protocol === PROTOCOL_UDP) header = UDP_HEADER_BYTES;
  if (protocol === PROTOCOL_TCP && offset + 13 <= view.byteLength) {
    header = getTcpHeaderBytes(view, offset);
  }
  return Math.max(0, end - offset - header);
}

export class FlowTable {
  readonly #flows = new Map<string, Flow>();
  /** Packets of flows beyond the first {@link FLOWS_MAX}. */
  untold = 0;

  /** Takes note of one packet that was seen at a place on its way. */
  note(sight: Sight, place: 'inside' | 'outside', way: Way): void {
    if (sight.inner < 0) return;
    const { protocol, offset } = transportOf(sight, sight.inner);
    if (protocol < 0) return;
    const { view } = sight;
    const hasPorts =
      (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) &&
      offset >= 0 &&
      offset + 4 <= view.byteLength;
    const port = (at: number): string => (hasPorts ? `:${view.getUint16(offset + at)}` : '');
    const source = endText(sight, 'source', port(0));
    const destination = endText(sight, 'destination', port(2));
    const [here, there] = way === 'egress' ? [source, destination] : [destination, source];
    const flow = this.#flow(protocol, here, there);
    if (flow === undefined) {
      this.untold++;
      return;
    }
    const seen = flow[place][way];
    seen.packets++;
    seen.bytes += carriedBytes(sight, protocol, offset);
  }

  #flow(protocol: number, here: string, there: string): Flow | undefined {
    const key = `${protocol} ${here} ${there}`;
    const known = this.#flows.get(key);
    if (known !== undefined || this.#flows.size >= FLOWS_MAX) return known;
    const flow = { protocol, here, there, inside: seenNothing(), outside: seenNothing() };
    this.#flows.set(key, flow);
    return flow;
  }

  flows(): IterableIterator<Flow> {
    return this.#flows.values();
  }
}

/** What of a link has to be known to tell its flows. */
export type FlowLink = SeenLink & Pick<WireSpec, 'vni'>;

/** What was seen of one link. */
export type LinkFlows<L extends FlowLink = FlowLink> = {
  spec: L;
  table: FlowTable;
  /** Packets that this process was too slow for: nothing is said of losses then. */
  missed: number;
};

/** Looks until told to stop. @throws as {@link openTaps} does. */
export async function watchFlows<L extends FlowLink>(
  links: readonly L[],
  filter: CaptureFilter | undefined,
  isOver: () => boolean,
): Promise<LinkFlows<L>[]> {
  const inside = await openTaps(links, 'inner');
  const outside = await openTaps(links, 'outer');
  const seen = links.map((spec) => ({ spec, table: new FlowTable(), missed: 0 }));
  const count = (): void => {
    for (const tap of [...inside, ...outside]) {
      const link = seen.find(({ spec }) => spec === tap.spec);
      if (link !== undefined) link.missed += tap.socket.missed();
    }
  };
  const isDone = (): boolean => {
    const over = isOver();
    if (over) count();
    return over;
  };
  await readTaps([...inside, ...outside], once(isDone), (tap, packet) => {
    const link = seen.find(({ spec }) => spec === tap.spec);
    if (link === undefined) return;
    const isInside = inside.includes(tap);
    const first = tap.sight(packet.bytes);
    if (!isInside && (first.shim < 0 || (first.vni >= 0 && first.vni !== tap.spec.vni))) return;
    const way = packet.outgoing ? 'egress' : 'ingress';
    for (const sight of isInside ? [first] : trainOf(first, tap.spec)) {
      if (filter !== undefined && !filter({ ...sight, outer: -1 })) continue;
      link.table.note(sight, isInside ? 'inside' : 'outside', way);
    }
  });
  return seen;
}

/** Stays true once it was. */
function once(ask: () => boolean): () => boolean {
  let was = false;
  return () => {
    was ||= ask();
    return was;
  };
}

/** Fewer packets may be on their way just when the look begins or ends. */
const STRAY_PACKETS = 3;
const STRAY_SHARE = 0.02;

/**
 * The share of one way of a flow that went into the router and did not come out, 0 to 1. What it carries
 * is compared, since packets are cut and joined on the way; only where it carries nothing its packets are.
 */
export function lostShare({ inside, outside }: Flow, way: Way): number {
  const [into, out] = way === 'egress' ? [inside[way], outside[way]] : [outside[way], inside[way]];
  const of = into.bytes > 0 ? ('bytes' as const) : ('packets' as const);
  const lost = into[of] - out[of];
  if (lost <= 0 || into[of] === 0) return 0;
  const each = of === 'packets' ? 1 : into.bytes / into.packets;
  const share = lost / into[of];
  return lost < STRAY_PACKETS * each || share < STRAY_SHARE ? 0 : share;
}
