/**
 * The kernel's data path as control sees it: links that the kernel forwards, each by a device and
 * programs of its own, and who has which address of them.
 *
 * Entries belong to a link's name, also while it does not run.
 * @module
 */

import { codeOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import {
  ADDRESS_BITS,
  familyOf,
  formatHostPrefix,
  hostNetworkOf,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import { ReadyWatch } from '../../../sys/libc/ready-watch.ts';
import { Netlink } from '../../../sys/netlink/netlink.ts';
import type { LinkEvent } from '../../../table/events.ts';
import type { PathRecord } from '../../../table/paths.ts';
import type { LinkUpdate } from '../../host/host.ts';
import { aliasOf } from '../../host/snapshot.ts';
import {
  type AnySpec,
  deviceMtuOf,
  deviceQueueOf,
  isBridged,
  isNetwork,
  type WireSpec,
} from '../../store/link-spec.ts';
import { updatedSpec } from '../tables/overlay-words.ts';
import type { KeptNetwork } from '../tables/predecessor.ts';
import type { Bypass, BypassStatus } from './bypass.ts';
import { BypassWatch } from './bypass-watch.ts';
import { temporaryNameOf } from './device.ts';
import { KernelFan } from './kernel-fan.ts';
import type { KernelTools } from './kernel-link.ts';
import { KernelNetwork } from './kernel-network.ts';
import { KernelNetworks } from './kernel-networks.ts';

/** How long a port may stay taken by who has just let go of it, and between two tries, ms. */
const TAKEN_MS_MAX = 500;
const AGAIN_MS = 2;

type Entry = { prefix: UnderlayPrefix; host: number };
type Running = KernelFan | KernelNetwork;

function keyOf(prefix: UnderlayPrefix): string {
  return formatHostPrefix({ ...prefix, address: hostNetworkOf(prefix) });
}

/** Makes a link's device and programs, or takes over what is there. */
function openLink(tools: KernelTools, spec: AnySpec, device?: string): Promise<Running> {
  return isNetwork(spec)
    ? KernelNetwork.open(tools, spec, device)
    : KernelFan.open(tools, spec, device);
}

async function become(link: Running, spec: AnySpec): Promise<void> {
  if (link instanceof KernelFan && !isNetwork(spec)) await link.become(spec);
  else if (link instanceof KernelNetwork && isNetwork(spec)) await link.become(spec);
  else throw new TypeError(`${spec.name} is a link of another kind`);
}

export type KernelPlaneOptions = {
  /** Given what the programs of the links tell. */
  tell: (events: readonly LinkEvent[]) => void;
  /** Given what a predecessor knew of a network, before anybody is told of it. */
  kept: (network: KeptNetwork) => void;
  log: Log;
};

export class KernelPlane {
  readonly #netlink: Netlink;
  readonly #links = new Map<string, Running>();
  /** Who is where in layer-2 networks. */
  readonly networks = new KernelNetworks();
  readonly #entries = new Map<string, Map<string, Entry>>();
  /** Entries that found no room. */
  #waiting = 0;
  /** Once there was a link. */
  #watch: BypassWatch | undefined;
  #rings: ReadyWatch | undefined;
  readonly #options: KernelPlaneOptions;

  constructor(options: KernelPlaneOptions) {
    this.#options = options;
    this.#netlink = Netlink.open();
  }

  get #tools(): KernelTools {
    return { netlink: this.#netlink, log: this.#options.log };
  }

  get names(): string[] {
    return [...this.#links.keys()];
  }

  has(name: string): boolean {
    return this.#links.has(name);
  }

  /**
   * Makes a link's device and programs, or what is missing of them; the device is left down where it
   * was made. @throws NetlinkError, SystemError, FanwayError
   */
  async add(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }> {
    const known = this.#links.get(spec.name);
    const there = known && (await this.#netlink.findLink(known.index));
    if (known !== undefined && there !== undefined) {
      await this.#become(known, spec);
      await known.openPort();
      return { ifindex: known.index, offloads: [] };
    }
    this.#forget(spec.name);
    const link = await openLink(this.#tools, spec);
    this.#take(link);
    try {
      await link.openPort();
    } catch (error) {
      await this.remove(spec.name);
      throw error;
    }
    return { ifindex: link.index, offloads: [] };
  }

  #take(link: Running): number {
    const { name } = link.spec;
    this.#links.set(name, link);
    this.#watch ??= new BypassWatch(this.#netlink, () => this.#bypasses());
    void this.#watch.look();
    this.#rings ??= new ReadyWatch(() => this.#hear());
    for (const fd of link.readable) this.#rings.add(fd);
    if (link instanceof KernelNetwork) {
      this.networks.bind(name, link);
      const kept = link.kept();
      if (kept !== undefined) this.#options.kept(kept);
    }
    for (const { prefix, host } of this.#entries.get(name)?.values() ?? []) {
      if (this.#fan(name)?.setEntry(prefix, host) === false) this.#waiting++;
    }
    return link.index;
  }

  #fan(name: string): KernelFan | undefined {
    const link = this.#links.get(name);
    return link instanceof KernelFan ? link : undefined;
  }

  /** Programs have told something. */
  #hear(): void {
    for (const [name, link] of this.#links) {
      const events = link.takeEvents();
      if (events.length > 0) this.#options.tell(events.map((event) => ({ ...event, name })));
    }
  }

  #bypasses(): Bypass[] {
    return [...this.#links.values()].flatMap(({ bypass }) => bypass ?? []);
  }

  /** How the way past a link's bridge stands; undefined where the link does not run, or is no port of one. */
  bypass(name: string): BypassStatus | undefined {
    return this.#links.get(name)?.bypass?.status;
  }

  #forget(name: string): void {
    const link = this.#links.get(name);
    if (link === undefined) return;
    for (const fd of link.readable) this.#rings?.remove(fd);
    this.networks.unbind(name);
    link.close();
    this.#links.delete(name);
  }

  /** Peers whose path is another one than their device promises. */
  paths(): PathRecord[] {
    return [...this.#links.values()].flatMap(({ paths }) => paths.records());
  }

  /** Deletes the link's device, and with it all that hangs on it. */
  async remove(name: string): Promise<void> {
    const link = this.#links.get(name);
    if (link === undefined) return;
    link.bypass?.stop('the link is down');
    await link.closePort();
    try {
      await this.#netlink.deleteLink(link.index);
    } catch (error) {
      if (codeOf(error) !== 'ENODEV') throw error;
    }
    this.#forget(name);
  }

  /** Changes what may change of a running link. */
  async update(name: string, change: LinkUpdate): Promise<void> {
    const link = this.#links.get(name);
    if (link !== undefined) await this.#become(link, updatedSpec(link.spec, change));
  }

  async #become(link: Running, spec: AnySpec): Promise<void> {
    for (const fd of link.readable) this.#rings?.remove(fd);
    try {
      await become(link, spec);
    } finally {
      for (const fd of link.readable) this.#rings?.add(fd);
    }
  }

  /** What somebody took away of a link, a line for each piece. */
  async missing(name: string): Promise<string[]> {
    return (await this.#links.get(name)?.missing()) ?? [];
  }

  /**
   * Has a link's device ready beside another one that has its name and its port: on the bridge where it is to be
   * a port, with programs, down. {@link commit} lets it take their place, {@link remove} takes it away.
   */
  async prepare(spec: AnySpec): Promise<number> {
    const link = await openLink(this.#tools, spec, temporaryNameOf(spec));
    try {
      await this.#netlink.setLink(link.index, {
        ...{ alias: aliasOf(spec.name), mtu: deviceMtuOf(spec) },
        ...(isBridged(spec) && { master: spec.name }),
      });
    } catch (error) {
      link.close();
      await this.#netlink.deleteLink(link.index);
      throw error;
    }
    return this.#take(link);
  }

  /** The other one has just let go of the port: takes it, and then the name. @throws NetlinkError */
  async commit(name: string): Promise<void> {
    const link = this.#links.get(name);
    if (link === undefined) return;
    const { index } = link;
    const { device } = link.spec;
    await patiently(() => link.openPort());
    await patiently(() => this.#netlink.setLink(index, { up: true }));
    const other = await this.#netlink.findLink(device);
    if (other?.index === index) return;
    if (other !== undefined) await this.#netlink.deleteLink(other.index);
    try {
      await this.#netlink.setLink(index, { name: device });
    } catch (error) {
      // Linux before 6.2 renames only what is down.
      if (codeOf(error) !== 'EBUSY') throw error;
      await this.#renameDown(index, device);
      await this.#netlink.setLink(index, { up: true });
    }
  }

  /** Takes a device down, and gives it a name: the kernel would do both in the other order. */
  async #renameDown(index: number, name: string): Promise<void> {
    await this.#netlink.setLink(index, { up: false });
    await this.#netlink.setLink(index, { name });
  }

  /** Gives up name and port for another device; {@link commit} takes them back. Returns its ifindex, 0 = there is none. */
  async stepAside(name: string): Promise<number> {
    const link = this.#links.get(name);
    if (link === undefined) return 0;
    link.bypass?.stop('another device takes its place');
    await this.#renameDown(link.index, temporaryNameOf(link.spec));
    await link.closePort();
    return link.index;
  }

  /** The device of another kind that has taken a link's place: on the bridge, and up. */
  async settle(index: number, spec: WireSpec): Promise<void> {
    const txQueueLen = deviceQueueOf(spec);
    await this.#netlink.setLink(index, {
      ...{ alias: aliasOf(spec.name), mtu: deviceMtuOf(spec), txQueueLen, up: true },
      ...(isBridged(spec) && { master: spec.name }),
    });
  }

  counters(name: string): Record<string, number> {
    return this.#links.get(name)?.counters() ?? {};
  }

  /** `prefix` of a link is at the host `host` (u32) from now on, also once it runs. */
  setEntry(name: string, prefix: UnderlayPrefix, host: number): void {
    const entries = this.#entries.get(name) ?? new Map<string, Entry>();
    this.#entries.set(name, entries);
    entries.set(keyOf(prefix), { prefix, host });
    if (this.#fan(name)?.setEntry(prefix, host) === false) this.#waiting++;
  }

  /** The prefix is where arithmetic says from now on. */
  deleteEntry(name: string, prefix: UnderlayPrefix): void {
    const entries = this.#entries.get(name);
    if (entries?.delete(keyOf(prefix)) !== true) return;
    if (entries.size === 0) this.#entries.delete(name);
    this.#fan(name)?.deleteEntry(prefix);
  }

  /** All entries of a link. */
  entries(name: string): { prefix: UnderlayPrefix; peer: number }[] {
    const entries = [...(this.#entries.get(name)?.values() ?? [])];
    return entries.map(({ prefix, host }) => ({ prefix, peer: host }));
  }

  /** The longest entry that has an address of a link that runs; undefined = arithmetic decides. */
  answer(
    name: string,
    address: UnderlayAddress,
  ): { prefix: UnderlayPrefix; peer: number } | undefined {
    if (!this.#links.has(name)) return undefined;
    const entries = this.#entries.get(name);
    const longest = ADDRESS_BITS[familyOf(address)];
    for (let length = longest; length > 0 && entries !== undefined; length--) {
      const prefix = { address: hostNetworkOf({ address, length }), length };
      const entry = entries.get(keyOf(prefix));
      if (entry !== undefined) return { prefix, peer: entry.host };
    }
    return undefined;
  }

  /** How many entries links that run have, and how many of all found no room. */
  status(): { entries: number; waiting: number } {
    let entries = 0;
    for (const name of this.#links.keys()) entries += this.#entries.get(name)?.size ?? 0;
    return { entries, waiting: this.#waiting };
  }

  /** MACs (u48) of containers here that somebody claims from outside; each only once. */
  takeClaims(): { name: string; mac: number }[] {
    return this.names.flatMap((name) =>
      (this.#fan(name)?.takeClaims() ?? []).map((mac) => ({ name, mac })),
    );
  }

  forgetMac({ name, mac }: { name: string; mac: number }): void {
    this.#fan(name)?.forgetMac(mac);
  }

  /** Lets go of all; what the kernel forwards goes on. */
  close(): void {
    this.#watch?.close();
    this.#rings?.close();
    for (const name of this.names) this.#forget(name);
    this.#netlink.close();
  }
}

/** Tries again while what somebody has just let go of is still taken. @throws the last error */
async function patiently(work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + TAKEN_MS_MAX;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE' || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}
