/**
 * One link that the kernel forwards: a device of VXLAN or of IP in IP that belongs to nobody in particular, and
 * on it two programs that say where each packet goes and judge where it came from.
 *
 * The device keeps the programs, and the programs keep their maps: all of it stays as it is when this
 * process is killed, and goes with the device.
 * @module
 */
import { FanwayError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { holdsHost, hostOfBytes } from '../../../net/underlay-address.ts';
import { libc } from '../../../sys/libc/libc.ts';
import type { Netlink } from '../../../sys/netlink/netlink.ts';
import { egressIndex, eventIndex, ingressIndex, namedCounters } from '../../../table/counters.ts';
import { EventKind, type NetEvent } from '../../../table/events.ts';
import { closeFouPort, missingFouPort, openFouPort } from '../../host/kernel/fou-port.ts';
import type { AnySpec } from '../../store/link-spec.ts';
import { type DeviceErrors, deviceErrors } from '../tables/device-errors.ts';
import type { Bypass } from './bypass.ts';
import { isDeviceOf, makeDevice } from './device.ts';
import { type Code, LinkHooks, type Programs } from './hooks.ts';
import type { LinkMaps } from './maps.ts';
import { PathReports } from './path-reports.ts';
import { KernelPaths } from './paths.ts';

/** What links need of who makes them. */
export type KernelTools = { netlink: Netlink; log: Log };

/**
 * What a link's programs are: those that forward, whose descriptor of types is closed once they are attached, and
 * those that let nothing pass.
 */
export type LinkCode = { forward: Programs; closed: Code };

/** The device of a link that is being opened. */
export type OpenedDevice = {
  index: number;
  /** Whose programs hang on it already, by number; 0 = nobody's. */
  program: number;
  /** Nobody had it before. */
  isNew: boolean;
};

/** A device of this name is there, of this link, up to now without programs. */
export type LinkOpening<Maps> = KernelTools & { device: OpenedDevice; maps: Maps };

const LOWERED = eventIndex('pmtu_lowered');
const IGNORED = eventIndex('icmp_ignored');
const NO_ERRORS: DeviceErrors = { received: 0, sent: 0 };

/** Events taken at a time; the others follow. */
const EVENTS_AT_ONCE = 1024;

/** Our underlay address. @throws FanwayError for one that the programs cannot carry */
export function localOf({ name, local, underlay }: AnySpec): number {
  if (typeof local === 'number' && typeof underlay.address === 'number') return local;
  throw new FanwayError('no-kernel-datapath', `${name}: its underlay is IPv6`);
}

function reportsOf(log: Log, spec: AnySpec): PathReports {
  return new PathReports(log, { name: spec.name, local: localOf(spec), port: spec.port });
}

/**
 * Makes the device of a link under this name, down, or takes over the one that is there, and has `attach` put
 * the programs on it before anything can pass.
 * @throws NetlinkError EEXIST where the port has such a device already; FanwayError where the name is
 * taken; what `attach` throws
 */
export async function openOnDevice<T>(
  { netlink }: KernelTools,
  spec: AnySpec,
  name: string,
  attach: (device: OpenedDevice) => Promise<T>,
): Promise<T> {
  const found = await netlink.findLink(name);
  if (found !== undefined && !isDeviceOf(spec, found)) {
    throw new FanwayError('name-taken', `there is another device ${name}: delete it`);
  }
  if (found === undefined) await makeDevice(netlink, spec, name);
  const { index } = found ?? (await netlink.link(name));
  try {
    const program = await LinkHooks.forwarding(netlink, index, 'ingress');
    return await attach({ index, program, isNew: found === undefined });
  } catch (error) {
    if (found === undefined) await netlink.deleteLink(index);
    throw error;
  }
}

/** What a link of either kind has, and does. */
export abstract class KernelLink<Spec extends AnySpec = AnySpec, Maps extends LinkMaps = LinkMaps> {
  spec: Spec;
  readonly index: number;
  protected readonly maps: Maps;
  /** The way past the bridge, where there is one. */
  abstract readonly bypass: Bypass | undefined;
  readonly #hooks: LinkHooks;
  /** Whether a listener at its UDP port is its own. */
  #ownsPort: boolean;
  /** What the device counted before the maps began to. */
  readonly #before: DeviceErrors;
  /** What its device said last. */
  #errors = NO_ERRORS;
  readonly #log: Log;
  /** What ICMP says of its ways. */
  #reports: PathReports;
  /** Ways to peers that carry less than they should. */
  readonly paths: KernelPaths;

  protected constructor({ netlink, log, device, maps }: LinkOpening<Maps>, spec: Spec) {
    this.spec = spec;
    this.index = device.index;
    this.#log = log;
    this.#hooks = new LinkHooks(netlink, device.index);
    this.maps = maps;
    this.#ownsPort = !device.isNew;
    const isFresh = device.isNew || maps.inherited;
    this.#before = (isFresh ? undefined : deviceErrors(spec.device)) ?? NO_ERRORS;
    this.#reports = reportsOf(log, spec);
    this.paths = new KernelPaths({
      netlink,
      reports: () => this.#reports,
      underlayMtu: () => this.spec.underlayMtu,
      judged: (what) => maps.countEvent(what === 'refuted' ? IGNORED : LOWERED),
    });
  }

  /** The programs for what a link is. @throws FanwayError for one that they cannot carry */
  protected abstract code(spec: Spec): LinkCode;

  /** Has the programs on the device in place of those that are there. @throws SystemError, NetlinkError */
  async attach(spec: Spec): Promise<void> {
    const { forward, closed } = this.code(spec);
    try {
      await this.#hooks.attach(forward, closed);
    } finally {
      if (forward.types !== undefined && forward.types >= 0) libc.close(forward.types);
    }
  }

  /** Has its first programs attached; where that fails nothing of it stays open. @throws as {@link attach} */
  protected async begin(): Promise<this> {
    try {
      await this.attach(this.spec);
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Has the kernel hand packets that come in by UDP to the device. @throws FanwayError, NetlinkError */
  async openPort(): Promise<void> {
    await openFouPort(this.spec, this.#ownsPort);
    this.#ownsPort = true;
  }

  /** Takes that back, where it was its own. */
  async closePort(): Promise<void> {
    if (this.#ownsPort) await closeFouPort(this.spec);
    this.#ownsPort = false;
  }

  /** Attaches programs for what the link is now; no packet passes without any. */
  async become(spec: Spec): Promise<void> {
    await this.attach(spec);
    const isElsewhere = spec.local !== this.spec.local;
    this.spec = spec;
    if (!isElsewhere) return;
    this.#reports.close();
    this.#reports = reportsOf(this.#log, spec);
  }

  /** Which of our programs somebody took away, a line for each. */
  async missing(): Promise<string[]> {
    const programs = await this.#hooks.missing(this.spec.device);
    return [...programs, ...(await missingFouPort(this.spec))];
  }

  /**
   * Counters by public name. What the device refused before our program saw it (a VXLAN header with
   * other bits set, congestion told to who cannot hear it) and what it could not send is among them.
   */
  counters(): Record<string, number> {
    const column = this.maps.counters();
    for (const index of [LOWERED, IGNORED]) column[index] = this.maps.eventCount(index);
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

  /** Descriptors that are readable where {@link takeEvents} has something to take. */
  get readable(): number[] {
    return [this.maps.eventsFd, this.#reports.fd].filter((fd) => fd >= 0);
  }

  /** What the programs have told since the last call, the oldest first; perhaps not all of it. */
  takeEvents(): NetEvent[] {
    for (const [peer, mtu] of this.#reports.take()) {
      if (this.isPeer(peer)) this.paths.told(peer, mtu);
    }
    const events = this.maps.takeEvents(EVENTS_AT_ONCE);
    for (const event of events) this.#hear(event);
    return events;
  }

  #hear(event: NetEvent): void {
    const { kind, detail, address } = event;
    if (kind !== EventKind.PathMtu || address.length !== 4) return this.heard(event);
    const { underlayMtu, innerMtu } = this.spec;
    const [peer, mtu] = [hostOfBytes(address), detail + underlayMtu - innerMtu];
    if (typeof peer === 'number') this.paths.told(peer, mtu);
  }

  /** Whether a host (u32) may be a peer of the link. */
  protected isPeer(host: number): boolean {
    return holdsHost(this.spec.underlay, host);
  }

  /** The programs have told something that is not of paths. */
  protected heard(_event: NetEvent): void {
    // Whoever listens hears it.
  }

  /** Lets go of the maps; the device goes on as it is. */
  close(): void {
    this.paths.close();
    this.#reports.close();
    this.bypass?.close();
    this.maps.close();
  }
}
