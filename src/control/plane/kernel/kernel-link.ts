/**
 * One fan that the kernel forwards: a device of VXLAN or of IP in IP that belongs to nobody in particular, and
 * on it two programs that say where each packet goes and judge where it came from.
 *
 * The device keeps the programs, and the programs keep their maps: all of it stays as it is when this
 * process is killed, and goes with the device.
 * @module
 */
import { fanClosed, fanEgress } from '../../../bpf/fan/fan-egress.ts';
import { fanIngress } from '../../../bpf/fan/fan-ingress.ts';
import type { FanPath } from '../../../bpf/fan-path.ts';
import { FanwayError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import {
  formatHostPrefix,
  holdsHost,
  hostOfBytes,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import type { Netlink } from '../../../sys/netlink/netlink.ts';
import { egressIndex, eventIndex, ingressIndex, namedCounters } from '../../../table/counters.ts';
import { EventKind, MovedTo, type NetEvent } from '../../../table/events.ts';
import { isBridged, type LinkSpec } from '../../store/link-spec.ts';
import { type DeviceErrors, deviceErrors } from '../tables/device-errors.ts';
import { Bypass } from './bypass.ts';
import { isDeviceOf, makeDevice } from './device.ts';
import { LinkHooks } from './hooks.ts';
import { LinkMaps } from './maps.ts';
import { PathReports } from './path-reports.ts';
import { KernelPaths } from './paths.ts';

/** What links need of who makes them. */
export type KernelTools = { netlink: Netlink; log: Log };

const LOWERED = eventIndex('pmtu_lowered');
const IGNORED = eventIndex('icmp_ignored');
const NO_ERRORS: DeviceErrors = { received: 0, sent: 0 };

/** Events taken at a time; the others follow. */
const EVENTS_AT_ONCE = 1024;
/** Claims that wait to be looked into; others are claimed again while they matter. */
const CLAIMS_MAX = 64;
/** Entries of a predecessor that nobody has confirmed go after this, ms: gossip has told all by then. */
const UNCONFIRMED_MS = 30_000;

/** What the programs need to know of a fan. @throws FanwayError for one that they cannot carry */
function pathOf(spec: LinkSpec): FanPath {
  const { overlay, six, underlay, local, port, innerMtu, dscp } = spec;
  if (typeof local !== 'number' || typeof underlay.address !== 'number') {
    throw new FanwayError('no-kernel-datapath', `${spec.name}: its underlay is IPv6`);
  }
  const { address, length } = underlay;
  const frames = isBridged(spec);
  const vni = frames ? spec.vni : 0;
  return {
    ...{ overlay, underlay: { address, length }, local, frames, vni, port, innerMtu, dscp },
    ...(six !== undefined && { six: { overlay: six.overlay, vni: six.vni } }),
  };
}

function reportsOf(log: Log, spec: LinkSpec): PathReports {
  return new PathReports(log, { name: spec.name, local: pathOf(spec).local, port: spec.port });
}

export class KernelLink {
  spec: LinkSpec;
  readonly index: number;
  readonly #hooks: LinkHooks;
  readonly #maps: LinkMaps;
  /** The way past the bridge, where its device is a port of one. */
  readonly bypass: Bypass | undefined;
  /** What the device counted before the maps began to. */
  readonly #before: DeviceErrors;
  /** What its device said last. */
  #errors = NO_ERRORS;
  readonly #log: Log;
  /** What ICMP says of its ways. */
  #reports: PathReports;
  /** Ways to peers that carry less than they should. */
  readonly paths: KernelPaths;
  /** MACs of containers here that somebody claims from outside. */
  readonly #claims = new Set<number>();
  #unconfirmed = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    { netlink, log }: KernelTools,
    spec: LinkSpec,
    index: number,
    maps: LinkMaps,
    before: DeviceErrors,
  ) {
    this.spec = spec;
    this.index = index;
    this.#log = log;
    this.#hooks = new LinkHooks(netlink, index);
    this.#maps = maps;
    this.#before = before;
    if (isBridged(spec)) this.bypass = new Bypass(netlink, maps, pathOf(spec), spec.name, index);
    this.#reports = reportsOf(log, spec);
    this.paths = new KernelPaths({
      netlink,
      reports: () => this.#reports,
      underlayMtu: () => this.spec.underlayMtu,
      judged: (what) => maps.countEvent(what === 'refuted' ? IGNORED : LOWERED),
    });
    if (!maps.inherited) return;
    this.#unconfirmed = new Set(maps.entries().map(formatHostPrefix));
    this.#timer = setTimeout(() => this.#dropUnconfirmed(), UNCONFIRMED_MS);
    this.#timer.unref();
  }

  /**
   * Makes the device under this name, down, or takes over the one that is there, and attaches the
   * programs before anything can pass.
   * @throws NetlinkError EEXIST where the port has such a device already; SystemError where the kernel
   * refuses programs; FanwayError where the name is taken
   */
  static async open(tools: KernelTools, spec: LinkSpec, device = spec.device): Promise<KernelLink> {
    const { netlink } = tools;
    const path = pathOf(spec);
    const found = await netlink.findLink(device);
    if (found !== undefined && !isDeviceOf(spec, found)) {
      throw new FanwayError('name-taken', `there is another device ${device}: delete it`);
    }
    if (found === undefined) await makeDevice(netlink, spec, device);
    const { index } = found ?? (await netlink.link(device));
    let maps: LinkMaps | undefined;
    try {
      const attached = await LinkHooks.forwarding(netlink, index, 'ingress');
      maps = (attached === 0 ? undefined : LinkMaps.of(attached)) ?? LinkMaps.create();
      const isFresh = found === undefined || maps.inherited;
      const before = (isFresh ? undefined : deviceErrors(device)) ?? NO_ERRORS;
      const link = new KernelLink(tools, spec, index, maps, before);
      await link.#attach(path);
      return link;
    } catch (error) {
      maps?.close();
      if (found === undefined) await netlink.deleteLink(index);
      throw error;
    }
  }

  async #attach(path: FanPath): Promise<void> {
    const { fds } = this.#maps;
    await this.#hooks.attach(
      { egress: fanEgress(path, fds), ingress: fanIngress(path, fds) },
      { egress: fanClosed('egress', path, fds), ingress: fanClosed('ingress', path, fds) },
    );
  }

  /** Attaches programs for what the link is now; no packet passes without any. */
  async become(spec: LinkSpec): Promise<void> {
    const path = pathOf(spec);
    await this.#attach(path);
    this.bypass?.become(path);
    const isElsewhere = path.local !== pathOf(this.spec).local;
    this.spec = spec;
    if (!isElsewhere) return;
    this.#reports.close();
    this.#reports = reportsOf(this.#log, spec);
  }

  /** Which of our programs somebody took away, a line for each. */
  missing(): Promise<string[]> {
    return this.#hooks.missing(this.spec.device);
  }

  /**
   * Counters by public name. What the device refused before our program saw it (a VXLAN header with
   * other bits set, congestion told to who cannot hear it) and what it could not send is among them.
   */
  counters(): Record<string, number> {
    const column = this.#maps.counters();
    for (const index of [LOWERED, IGNORED]) column[index] = this.#maps.eventCount(index);
    const add = (index: number, by: number): void => {
      column[index] = (column[index] ?? 0) + by;
    };
    // What cannot be read just now is as it was: counters do not go back.
    const errors = deviceErrors(this.spec.device) ?? this.#errors;
    this.#errors = errors;
    const received = Math.max(0, errors.received - this.#before.received);
    add(ingressIndex('received'), received);
    add(ingressIndex('drop.bad_header'), received);
    const delivered = egressIndex('delivered');
    // The device sent back what our program let go.
    const tooBig = Math.min(column[egressIndex('drop.send_too_big')] ?? 0, column[delivered] ?? 0);
    column[egressIndex('drop.send_too_big')] = tooBig;
    add(delivered, -tooBig);
    const sent = Math.min(Math.max(0, errors.sent - this.#before.sent), column[delivered] ?? 0);
    add(delivered, -sent);
    add(egressIndex('drop.send_error'), sent);
    return namedCounters(column);
  }

  setEntry(prefix: UnderlayPrefix, host: number): boolean {
    this.#unconfirmed.delete(formatHostPrefix(prefix));
    return this.#maps.setEntry(prefix, host);
  }

  deleteEntry(prefix: UnderlayPrefix): void {
    this.#unconfirmed.delete(formatHostPrefix(prefix));
    this.#maps.deleteEntry(prefix);
  }

  #dropUnconfirmed(): void {
    for (const prefix of this.#maps.entries()) {
      if (this.#unconfirmed.has(formatHostPrefix(prefix))) this.#maps.deleteEntry(prefix);
    }
    this.#unconfirmed.clear();
  }

  /** Descriptors that are readable where {@link takeEvents} has something to take. */
  get readable(): number[] {
    return [this.#maps.fds.events, this.#reports.fd].filter((fd) => fd >= 0);
  }

  /** What the programs have told since the last call, the oldest first; perhaps not all of it. */
  takeEvents(): NetEvent[] {
    for (const [peer, mtu] of this.#reports.take()) {
      if (holdsHost(this.spec.underlay, peer)) this.paths.told(peer, mtu);
    }
    const events = this.#maps.takeEvents(EVENTS_AT_ONCE);
    for (const { kind, mac, detail, address } of events) {
      if (kind === EventKind.Moved && detail === MovedTo.Peer) {
        if (this.#claims.size < CLAIMS_MAX) this.#claims.add(mac);
      } else if (kind === EventKind.PathMtu && address.length === 4) {
        const { underlayMtu, innerMtu } = this.spec;
        const [peer, mtu] = [hostOfBytes(address), detail + underlayMtu - innerMtu];
        if (typeof peer === 'number') this.paths.told(peer, mtu);
      }
    }
    return events;
  }

  takeClaims(): number[] {
    const claims = [...this.#claims];
    this.#claims.clear();
    return claims;
  }

  forgetMac(mac: number): void {
    this.#maps.forgetMac(mac);
  }

  /** Lets go of the maps; the device goes on as it is. */
  close(): void {
    clearTimeout(this.#timer);
    this.paths.close();
    this.#reports.close();
    this.bypass?.stop('the link is down');
    this.#maps.close();
  }
}
