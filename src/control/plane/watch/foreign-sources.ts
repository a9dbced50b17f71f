/**
 * Who on a bridge sends with an address that is not of this host's slice. The data path drops that and
 * counts it; a container with a wrong address learns of it only by silence, and its admin by nothing.
 * So while the counter grows, what goes into the tunnel is looked at for some seconds, through a filter
 * that passes nothing else, and each such sender is told by address, MAC and port.
 * @module
 */
import { codeOf } from '../../../errors.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import { formatMac, MAC_BYTES, macFromBytes } from '../../../net/mac.ts';
import { formatPrefix, maskOf, type Prefix } from '../../../net/prefix.ts';
import { BPF, type BpfInstruction } from '../../../sys/sockets/bpf.ts';
import { PacketSocket } from '../../../sys/sockets/packet-socket.ts';
import type { RealHost } from '../../host/real-host.ts';
import { isBridged, type LinkSpec } from '../../store/link-spec.ts';
import type { TunnelSet } from '../tunnel-set.ts';

const COUNTER = 'egress.drop.foreign_source';
/** How long it is looked at, and how long it then rests, ms. */
const LISTEN_MS = 5000;
const REST_MS = 10_000;
/** A sender that was not seen for so long is told of no more, as its drops are not. */
const KEPT_MS = 60_000;
/** Senders that are kept for a link, told in one line, and packets that are read at a time. */
const SENDERS_MAX = 8;
const SHOWN_MAX = 3;
const PACKETS_MAX = 64;
/** Ethernet and IPv4 without options. */
const HEADER_BYTES = 34;
const TYPE_OFFSET = 12;
const SOURCE_OFFSET = 26;
/** The sender's protocol address (RFC 826). */
const ARP_SOURCE_OFFSET = 28;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;

type Sender = { address: number; mac: number; port: string; seenMs: number };
type Watched = {
  counted: number;
  senders: Sender[];
  socket: PacketSocket | undefined;
  /** When listening began or ends, ms. */
  sinceMs: number;
};

export type ForeignSourcesOptions = {
  host: Pick<RealHost, 'links' | 'bridgePort' | 'underlay'>;
  tunnels: Pick<TunnelSet, 'values' | 'answer'>;
};

/** Passes IPv4 and ARP whose source is neither 0.0.0.0 nor of the slice; frames begin with Ethernet. */
export function foreignFilter({ address, length }: Prefix): BpfInstruction[] {
  const mask = maskOf(length) >>> 0;
  return [
    [BPF.LOAD_HALF, 0, 0, TYPE_OFFSET],
    [BPF.JUMP_EQUAL, 3, 0, ETHERTYPE_IPV4],
    [BPF.JUMP_EQUAL, 0, 7, ETHERTYPE_ARP],
    [BPF.LOAD_WORD, 0, 0, ARP_SOURCE_OFFSET],
    [BPF.JUMP, 0, 0, 1],
    [BPF.LOAD_WORD, 0, 0, SOURCE_OFFSET],
    [BPF.JUMP_EQUAL, 3, 0, 0],
    [BPF.AND, 0, 0, mask],
    [BPF.JUMP_EQUAL, 1, 0, (address & mask) >>> 0],
    [BPF.RETURN, 0, 0, HEADER_BYTES],
    [BPF.RETURN, 0, 0, 0],
  ];
}

export class ForeignSources {
  readonly #options: ForeignSourcesOptions;
  readonly #links = new Map<string, Watched>();

  constructor(options: ForeignSourcesOptions) {
    this.#options = options;
  }

  /** Looks at the counters, and at what comes by while they grow. To be called each second or so. */
  async look(specs: readonly LinkSpec[], nowMs: number): Promise<void> {
    // The bridge of another network namespace is not ours to listen at.
    if (this.#options.host.underlay !== undefined) return;
    const counters = this.#options.tunnels.values([COUNTER]);
    for (const [name, { socket }] of this.#links) {
      if (specs.some((spec) => spec.name === name)) continue;
      socket?.close();
      this.#links.delete(name);
    }
    for (const spec of specs.filter(isBridged)) {
      const [counted = 0] = counters.get(spec.name) ?? [];
      const watched = this.#links.get(spec.name);
      if (watched === undefined) {
        // What a predecessor counted is no news.
        const rested = { senders: [], socket: undefined, sinceMs: nowMs - REST_MS };
        this.#links.set(spec.name, { counted, ...rested });
        continue;
      }
      const grows = counted > watched.counted;
      watched.counted = counted;
      watched.senders = watched.senders.filter(({ seenMs }) => nowMs - seenMs < KEPT_MS);
      if (watched.socket !== undefined) await this.#read(spec, watched, watched.socket, nowMs);
      else if (grows && nowMs - watched.sinceMs >= REST_MS)
        await this.#listen(spec, watched, nowMs);
    }
  }

  async #listen(spec: LinkSpec, watched: Watched, nowMs: number): Promise<void> {
    watched.sinceMs = nowMs;
    const links = await this.#options.host.links();
    const device = links.find(({ name }) => name === spec.device);
    // Nobody would close it of a link that is not watched any more.
    if (device === undefined || this.#links.get(spec.name) !== watched) return;
    try {
      watched.socket = new PacketSocket(device.index, foreignFilter(spec.slice));
    } catch (error) {
      // Without CAP_NET_RAW the counter alone has to do; a device may have gone meanwhile.
      if (!['EPERM', 'ENODEV'].includes(codeOf(error))) throw error;
    }
  }

  async #read(
    spec: LinkSpec,
    watched: Watched,
    socket: PacketSocket,
    nowMs: number,
  ): Promise<void> {
    const seen = new Map<string, { address: number; mac: number }>();
    try {
      for (let i = 0; i < PACKETS_MAX; i++) {
        const packet = socket.read();
        if (packet === undefined) break;
        const { bytes, outgoing } = packet;
        if (!outgoing || bytes.length < HEADER_BYTES) continue;
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const isArp = view.getUint16(TYPE_OFFSET) === ETHERTYPE_ARP;
        const address = view.getUint32(isArp ? ARP_SOURCE_OFFSET : SOURCE_OFFSET);
        // What was announced here is at home here.
        if (this.#options.tunnels.answer(spec.name, address) !== undefined) continue;
        const mac = macFromBytes(bytes, MAC_BYTES);
        if (seen.size < SENDERS_MAX) seen.set(`${address} ${mac}`, { address, mac });
      }
    } catch (error) {
      if (codeOf(error) !== 'ENETDOWN') throw error;
      watched.sinceMs = nowMs - LISTEN_MS;
    }
    for (const { address, mac } of seen.values()) {
      const port = await this.#options.host.bridgePort(spec.name, mac);
      const others = watched.senders.filter((one) => one.address !== address || one.mac !== mac);
      watched.senders = [...others, { address, mac, port, seenMs: nowMs }].slice(-SENDERS_MAX);
    }
    // Whoever stopped watching meanwhile has closed it.
    if (this.#links.get(spec.name) !== watched || nowMs - watched.sinceMs < LISTEN_MS) return;
    socket.close();
    watched.socket = undefined;
    watched.sinceMs = nowMs;
  }

  /** Who sends so on a link, for a sentence; '' when nobody is known. */
  textOf({ name, slice }: { name: string; slice: Prefix }): string {
    const senders = this.#links.get(name)?.senders ?? [];
    if (senders.length === 0) return '';
    const shown = senders.slice(-SHOWN_MAX).map(({ address, mac, port }) => {
      const where = port === '' ? '' : `, port ${port}`;
      return `${formatIpv4(address)} (MAC ${formatMac(mac)}${where})`;
    });
    const more = senders.length > SHOWN_MAX ? ` and ${senders.length - SHOWN_MAX} more` : '';
    const are = senders.length === 1 ? 'is' : 'are';
    return `${shown.join(', ')}${more} ${are} not of this host's slice ${formatPrefix(slice)}: give the container an address of it, or announce what has moved here`;
  }

  close(): void {
    for (const { socket } of this.#links.values()) socket?.close();
    this.#links.clear();
  }
}
