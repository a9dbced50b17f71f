/**
 * One network on this host: its bridge's notifications and the data path's events become stations, and
 * stations become what the host announces.
 * @module
 */

import type { Log } from '../../../log.ts';
import { formatMac, isGroupMac } from '../../../net/mac.ts';
import { formatHostAddress, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { EntryId } from '../../../rib/entry.ts';
import type { ForwardingEntry } from '../../host/host.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import type { OwnEntries } from './own-entries.ts';
import { type Station, Stations } from './stations.ts';

/** MACs that wait for a look at the bridge; more are told again while they matter. */
const LOOKS_MAX = 1024;
/** The kernel flushes a port's entries before it says that the port is gone. */
const SETTLE_MS = 50;

/** How a port of a bridge stands. */
export type PortState = { index: number; isPort: boolean; hasCarrier: boolean };

export type LocalNetworkOptions = {
  spec: NetworkSpec;
  /** ifindexes of the bridge and of our own device. */
  bridge: number;
  device: number;
  own: OwnEntries;
  log: Log;
  nowMs: () => number;
  /** The port behind which the bridge knows a MAC. */
  portOf: (mac: number) => Promise<number | undefined>;
  port: (index: number) => Promise<PortState>;
  /** Addresses that another host announced of a MAC. */
  addressesOf: (mac: number) => UnderlayAddress[];
  /** Whether a MAC that was elsewhere has moved here; undefined = it was not, or nobody can be asked. */
  hasMoved: (mac: number) => Promise<boolean> | undefined;
  /** The bridge is to send to a MAC by our device, as it did before. */
  keepAway: (mac: number) => Promise<void>;
  /** A MAC is not behind a port any more, and may show up behind another one. */
  released: (mac: number, port: number) => void;
  changed: () => void;
};

export class LocalNetwork {
  readonly spec: NetworkSpec;
  readonly bridge: number;
  readonly stations: Stations;
  readonly #options: LocalNetworkOptions;
  /** MACs that wait for a look, each with the addresses that it spoke for. */
  readonly #looks = new Map<number, Map<string, UnderlayAddress>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #device: number;
  /** That of the data path before this one: what it says late is of the tunnel, too. */
  #former = 0;
  #isLooking = false;
  #closed = false;
  /** Addresses that two MACs claimed. */
  duplicates = 0;
  lastDuplicate = '';

  constructor(options: LocalNetworkOptions) {
    this.#options = options;
    this.spec = options.spec;
    this.bridge = options.bridge;
    this.#device = options.device;
    this.stations = new Stations({
      appeared: (station) => this.#appeared(station),
      left: (station) => this.#left(station),
      bound: (station, address) => this.#bound(station, address),
      unbound: (_station, address) => this.#options.own.remove(this.#addressId(address)),
    });
  }

  /** ifindex of our own device. */
  get device(): number {
    return this.#device;
  }

  /** The network has another device from now on. */
  deviceIs(index: number): void {
    if (index === this.#device) return;
    this.#former = this.#device;
    this.#device = index;
  }

  #isTunnel(port: number): boolean {
    return port === this.#device || port === this.#former;
  }

  #macId(mac: number): EntryId {
    return { link: this.spec.name, kind: 'mac', mac };
  }

  #addressId(address: UnderlayAddress): EntryId {
    return { link: this.spec.name, kind: 'mac+ip', address };
  }

  #appeared(station: Station): void {
    const { spec } = this;
    const { own, addressesOf, changed } = this.#options;
    const { mac, isSticky } = station;
    // It comes with what it had where it was; one that it has no more somebody else will claim.
    const known = addressesOf(mac);
    own.add({ spec, mac, address: undefined, isSticky });
    for (const address of station.addresses.values()) own.add({ spec, mac, address, isSticky });
    for (const address of known) this.stations.bound(mac, address);
    changed();
  }

  #left(station: Station): void {
    const { own, changed, released } = this.#options;
    own.remove(this.#macId(station.mac));
    released(station.mac, station.port);
    for (const address of station.addresses.values()) own.remove(this.#addressId(address));
    changed();
  }

  #bound({ mac, isSticky }: Station, address: UnderlayAddress): void {
    const { own, changed } = this.#options;
    own.add({ spec: this.spec, mac, address, isSticky });
    changed();
  }

  /** The bridge learned, changed or forgot an entry. */
  forwarding(action: 'new' | 'deleted', entry: ForwardingEntry): void {
    const { mac, port, isOwn, isStatic } = entry;
    // A port's own address is nobody's; the bridge's own is this host's.
    if (isGroupMac(mac) || (isOwn && port !== this.bridge)) return;
    if (action === 'deleted') {
      if (this.#isTunnel(port)) return;
      this.#after(() => this.#aged(mac, port));
    } else if (!this.#isTunnel(port)) this.#learned(mac, port, isStatic, []);
    // What came through the tunnel has passed the data path's check of who has it.
    else if (this.stations.get(mac) !== undefined) this.stations.forget(mac);
  }

  /** A MAC is behind a port: it is ours, once it is sure that it is nobody else's. */
  #learned(
    mac: number,
    port: number,
    isStatic: boolean,
    addresses: Iterable<UnderlayAddress>,
  ): void {
    const take = (): void => {
      this.stations.learned(mac, port, isStatic, this.#options.nowMs());
      for (const address of addresses) this.stations.bound(mac, address);
    };
    // What somebody wrote down is so.
    const moved = isStatic || this.stations.get(mac) !== undefined ? undefined : this.#moved(mac);
    if (moved === undefined) return take();
    const settle = async (): Promise<void> => {
      const isMove = await moved;
      if (this.#closed || (await this.#options.portOf(mac)) !== port) return;
      if (isMove) return take();
      this.#options.released(mac, port);
      await this.#options.keepAway(mac);
    };
    settle().catch((error: unknown) => this.#failed(error));
  }

  /** Whoever writes nothing down, and guards nothing, believes all that is seen. */
  #moved(mac: number): Promise<boolean> | undefined {
    return this.spec.guard === 'off' ? undefined : this.#options.hasMoved(mac);
  }

  #after(work: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) work().catch((error: unknown) => this.#failed(error));
    }, SETTLE_MS);
    this.#timers.add(timer);
  }

  #failed(error: unknown): void {
    this.#options.log.warn(this.spec.name, `look at the bridge: ${String(error)}`);
  }

  /** An entry is gone: with its port, or because its MAC was silent for long. */
  async #aged(mac: number, port: number): Promise<void> {
    if (this.stations.get(mac)?.port !== port) return;
    const state = await this.#options.port(port);
    if (state.isPort && state.hasCarrier) {
      // Learned again meanwhile?
      if ((await this.#options.portOf(mac)) !== port) {
        this.stations.aged(mac, port, this.#options.nowMs());
      }
      return;
    }
    this.portIs(state);
  }

  /** A port came, went, or its carrier did. */
  portIs({ index, isPort, hasCarrier }: PortState): void {
    if (!isPort) this.stations.portGone(index);
    else if (!hasCarrier) this.stations.portDown(index);
    else this.stations.portUp(index, this.#options.nowMs());
  }

  /** The data path saw a MAC, perhaps with an address, come out of the bridge. */
  seen(mac: number, address: UnderlayAddress | undefined): void {
    if (isGroupMac(mac) || mac === 0) return;
    const station = this.stations.get(mac);
    if (station?.state === 'here' && address !== undefined) {
      this.stations.bound(mac, address);
      return;
    }
    if (station === undefined && this.#looks.size >= LOOKS_MAX && !this.#looks.has(mac)) return;
    const spoken = this.#looks.get(mac) ?? new Map<string, UnderlayAddress>();
    if (address !== undefined) spoken.set(formatHostAddress(address), address);
    this.#looks.set(mac, spoken);
    void this.#look();
  }

  /** Something came from outside with the MAC of a station here: whether it is still here. */
  async claimed(mac: number): Promise<void> {
    const port = await this.#options.portOf(mac);
    if (port === undefined || this.#isTunnel(port)) this.stations.forget(mac);
  }

  /**
   * A MAC claims an address that another one has: people are told, and the later one counts. Behind strict
   * ports the one that has it keeps it while it is there: else a word of ARP would be enough to take it.
   */
  duplicate(mac: number, address: UnderlayAddress, at: string): void {
    this.duplicates++;
    const text = `${formatHostAddress(address)} is claimed by ${formatMac(mac)} here and by ${at}`;
    if (text !== this.lastDuplicate) this.#options.log.warn(this.spec.name, text);
    this.lastDuplicate = text;
    if (this.spec.guard !== 'strict') this.seen(mac, address);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (let [next] = this.#looks; next !== undefined && !this.#closed; [next] = this.#looks) {
        const [mac, addresses] = next;
        this.#looks.delete(mac);
        const port = await this.#options.portOf(mac);
        if (port === undefined || this.#isTunnel(port)) continue;
        const isSticky = this.stations.get(mac)?.isSticky ?? false;
        this.#learned(mac, port, isSticky, addresses.values());
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isLooking = false;
    }
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#looks.clear();
  }
}
