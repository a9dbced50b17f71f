import type {
  AdvertSpec,
  Host,
  HostRoute6,
  KernelRoute,
  ProcessMark,
  Tunnels,
} from '../../src/control/host/host.ts';
import type { Snapshot } from '../../src/control/host/snapshot.ts';
import type { AnySpec } from '../../src/control/store/link-spec.ts';
import { broadcastOf, networkOf } from '../../src/net/prefix.ts';
import { equals6, type Ipv6, isSameAddress6, type Prefix6 } from '../../src/net/prefix6.ts';
import type { InterfaceAddress6 } from '../../src/sys/netlink/netlink.ts';
import type { NftChain, NftRule } from '../../src/sys/netlink/nf/tables.ts';
import { plainHost } from './snapshots.ts';

/** Thrown by every call after the moment at which the process is "killed". */
export class Killed extends Error {}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/**
 * A host as a table. Every call that changes something counts as a step; the process is killed
 * right before or right after the step given to {@link killAt}.
 */
export class FakeHost implements Host, Tunnels {
  readonly addresses6Now: InterfaceAddress6[] = [];
  readonly routes6Now: HostRoute6[] = [];
  readonly adverts = new Map<string, AdvertSpec>();
  state: Snapshot;
  /** Tables of others (`ip nat`). */
  others: string[] = [];
  /** What was loaded and not deleted again: names of chains by table. */
  tables = new Map<string, Map<string, string[]>>();
  dhcpServers = new Map<string, ProcessMark>();
  steps = 0;
  dead = false;
  #killStep = Number.POSITIVE_INFINITY;
  #killBefore = false;
  #nextIndex = 10;

  constructor(state: Snapshot = plainHost()) {
    this.state = structuredClone(state);
  }

  killAt(step: number, when: 'before' | 'after'): void {
    this.#killStep = step;
    this.#killBefore = when === 'before';
  }

  /** A new process on the same host. */
  revive(): void {
    this.dead = false;
    this.#killStep = Number.POSITIVE_INFINITY;
  }

  /** Everything but ifindexes, to compare before and after. */
  picture(): unknown {
    const { links, addresses, routes, sysctls } = this.state;
    const known = Object.entries(sysctls).filter(([, value]) => value !== null);
    return structuredClone({
      links,
      addresses,
      routes,
      sysctls: Object.fromEntries(known.filter(([key]) => !/conf\/f[aw]/.test(key))),
      tables: [...this.tables].map(([table, chains]) => [table, [...chains]]),
      dhcp: [...this.dhcpServers.keys()],
    });
  }

  #check(): void {
    if (this.dead) throw new Killed('killed');
  }

  #change(change: () => void): void {
    this.#check();
    if (++this.steps === this.#killStep && this.#killBefore) {
      this.dead = true;
      throw new Killed('killed');
    }
    change();
    if (this.steps === this.#killStep) {
      this.dead = true;
      throw new Killed('killed');
    }
  }

  #find(ref: string | number): Snapshot['links'][number] {
    const link = this.state.links.find((link) => link.index === ref || link.name === ref);
    if (link === undefined) throw failure('ENODEV');
    return link;
  }

  #add(name: string, kind: string): number {
    if (this.state.links.some((link) => link.name === name)) throw failure('EEXIST');
    const index = this.#nextIndex++;
    const rest = { up: false, carrier: false, mtu: 1500, master: 0, alias: '', txQueueLen: 1000 };
    this.state.links.push({ index, name, kind, address: 0, gsoIpv4MaxSize: 0, ...rest });
    return index;
  }

  #drop(index: number): void {
    const { state } = this;
    state.links = state.links.filter((link) => link.index !== index);
    for (const link of state.links) if (link.master === index) link.master = 0;
    const sources = new Set(
      state.addresses.filter((address) => address.index === index).map((one) => one.address),
    );
    state.addresses = state.addresses.filter((address) => address.index !== index);
    state.routes = state.routes.filter(
      (route) => route.oif !== index && !(route.src !== 0 && sources.has(route.src)),
    );
  }

  async addresses6() {
    return structuredClone(this.addresses6Now);
  }
  async routes6() {
    return [];
  }
  async addAddress6(device: string, address: Ipv6, length: number) {
    const { index } = this.#find(device);
    this.#change(() => this.addresses6Now.push({ index, address, length }));
  }
  async deleteAddress6(_device: string, address: Ipv6) {
    const at = this.addresses6Now.findIndex((one) => isSameAddress6(one.address, address));
    if (at < 0) throw failure('EADDRNOTAVAIL');
    this.#change(() => this.addresses6Now.splice(at, 1));
  }
  async addRoute6(route: HostRoute6) {
    this.#change(() => this.routes6Now.push(route));
  }
  async deleteRoute6({ destination, device }: HostRoute6) {
    const at = this.#route6(destination, device);
    if (at < 0) throw failure('ESRCH');
    this.#change(() => this.routes6Now.splice(at, 1));
  }
  async hasRoute6({ destination, device }: HostRoute6) {
    return this.#route6(destination, device) >= 0;
  }
  announce(spec: AdvertSpec) {
    this.#change(() => this.adverts.set(spec.bridge, spec));
  }
  isAnnouncing({ bridge }: AdvertSpec) {
    return this.adverts.has(bridge);
  }
  withdraw(bridge: string) {
    this.#change(() => this.adverts.delete(bridge));
  }

  #route6(destination: Prefix6, device: string): number {
    return this.routes6Now.findIndex(
      (one) => one.device === device && equals6(one.destination, destination),
    );
  }

  async links() {
    this.#check();
    return structuredClone(this.state.links);
  }
  async link(ref: string | number) {
    this.#check();
    return structuredClone(
      this.state.links.find(({ index, name }) => index === ref || name === ref),
    );
  }
  async addresses() {
    this.#check();
    return structuredClone(this.state.addresses);
  }
  async defaultRoutes() {
    this.#check();
    return structuredClone(this.state.routes.filter(({ dst }) => dst.length === 0));
  }
  async routesMeeting() {
    this.#check();
    const routes = this.state.routes.filter(({ dst }) => dst.length > 0);
    return { routes: structuredClone(routes), whole: true };
  }
  async routesOf(index: number) {
    this.#check();
    return structuredClone(this.state.routes.filter(({ oif }) => oif === index));
  }
  async hasRoute({ destination, device, source, type }: KernelRoute): Promise<boolean> {
    this.#check();
    const index = this.state.links.find(({ name }) => name === device)?.index;
    return this.state.routes.some(
      (one) =>
        one.oif === index &&
        one.type === type &&
        (source === 0 || one.src === source) &&
        one.dst.address === destination.address &&
        one.dst.length === destination.length,
    );
  }
  async createBridge(name: string, mac: number): Promise<void> {
    this.#change(() => {
      this.#add(name, 'bridge');
      this.#find(name).address = mac;
    });
  }
  async setLink(ref: string | number, change: Parameters<Host['setLink']>[1]): Promise<void> {
    this.#change(() => {
      const link = this.#find(ref);
      if (change.up !== undefined) link.up = change.up;
      if (change.mtu !== undefined) link.mtu = change.mtu;
      if (change.txQueueLen !== undefined) link.txQueueLen = change.txQueueLen;
      if (change.alias !== undefined) link.alias = change.alias;
      if (change.address !== undefined) link.address = change.address;
      if (change.name !== undefined) link.name = change.name;
      if (change.master === 0) link.master = 0;
      else if (change.master !== undefined) link.master = this.#find(change.master).index;
    });
  }
  async deleteLink(index: number): Promise<void> {
    this.#change(() => this.#drop(this.#find(index).index));
  }
  async addAddress(device: string, address: number, length: number): Promise<void> {
    this.#change(() => {
      const { index } = this.#find(device);
      const { addresses } = this.state;
      if (addresses.some((one) => one.index === index && one.address === address)) {
        throw failure('EEXIST');
      }
      addresses.push({ index, address, length, scope: 0, secondary: false });
      const prefix = { address: networkOf({ address, length }), length };
      const broadcast = { address: broadcastOf(prefix), length: 32 };
      const kernel = { oif: index, src: address, via: 0, metric: 0 };
      this.state.routes.push(
        { ...kernel, dst: prefix, table: 254, type: 'unicast' },
        { ...kernel, dst: { address, length: 32 }, table: 255, type: 'local' },
        { ...kernel, dst: broadcast, table: 255, type: 'broadcast' },
      );
    });
  }
  async deleteAddress(device: string, address: number): Promise<void> {
    this.#change(() => {
      const { index } = this.#find(device);
      const { addresses } = this.state;
      this.state.addresses = addresses.filter(
        (one) => one.index !== index || one.address !== address,
      );
      const { routes } = this.state;
      this.state.routes = routes.filter((one) => one.oif !== index || one.src !== address);
    });
  }
  async ipv6Addresses(): Promise<Snapshot['ipv6Addresses']> {
    this.#check();
    return structuredClone(this.state.ipv6Addresses);
  }
  async ipv6WayOut(): Promise<number> {
    this.#check();
    return this.state.ipv6WayOut;
  }
  async addRoute(route: Parameters<Host['addRoute']>[0]): Promise<void> {
    this.#change(() => {
      const oif = this.#find(route.device).index;
      const { destination: dst, source: src } = route;
      const type = 'unicast' as const;
      if (this.state.routes.some((one) => one.dst.address === dst.address && one.src === src)) {
        throw failure('EEXIST');
      }
      this.state.routes.push({ dst, oif, src, via: 0, table: 254, metric: 0, type });
    });
  }
  async deleteRoute(route: Parameters<Host['deleteRoute']>[0]): Promise<void> {
    this.#change(() => {
      const oif = this.#find(route.device).index;
      this.state.routes = this.state.routes.filter(
        (one) => one.oif !== oif || one.dst.address !== route.destination.address,
      );
    });
  }
  async addKernelRoute(route: Parameters<Host['addKernelRoute']>[0]): Promise<void> {
    this.#change(() => {
      const { destination: dst, source: src, type } = route;
      const oif = this.#find(route.device).index;
      const table = type === 'unicast' ? 254 : 255;
      this.state.routes.push({ dst, oif, src, via: 0, table, metric: 0, type });
    });
  }
  async hasOwnMac(bridge: number, mac: number): Promise<boolean> {
    this.#check();
    return this.#find(bridge).address === mac;
  }
  async addOwnMac(): Promise<void> {
    this.#change(() => undefined);
  }
  readSysctl(key: string): string | null {
    this.#check();
    return this.state.sysctls[key] ?? (/conf\/f[aw]/.test(key) ? '1' : null);
  }
  writeSysctl(key: string, value: string): void {
    this.#change(() => {
      this.state.sysctls[key] = value;
    });
  }
  legacyTables(): Snapshot['legacy'] {
    return this.state.legacy;
  }
  hasNft(): boolean {
    return true;
  }
  async packetFilter(): Promise<Snapshot['filter']> {
    this.#check();
    const chains: NftChain[] = [];
    const rules: NftRule[] = [];
    for (const [key, byName] of this.tables) {
      const [family = 'ip', table = ''] = key.split(' ') as [NftChain['family'], string];
      for (const [chain, texts] of byName) {
        chains.push({ family, table, name: chain, base: undefined });
        for (const [handle, text] of texts.entries()) {
          const rule = { family, table, chain, handle, comment: '', text };
          const none = { verdict: 'none' as const, target: '', matches: [], packets: 0 };
          rules.push({ ...rule, ...none, expressions: [] });
        }
      }
    }
    const { filter } = this.state;
    return {
      ...filter,
      chains: [...filter.chains, ...chains],
      rules: [...filter.rules, ...rules],
    };
  }
  async otherTables(): Promise<string[]> {
    this.#check();
    return this.others;
  }
  /** Understands what chains.ts writes. */
  async loadRules(text: string): Promise<void> {
    this.#change(() => {
      for (const line of text.trim().split('\n')) {
        const [action, what, family, table = '', chain = '', ...rest] = line.split(' ');
        const key = `${family} ${table}`;
        if (what === 'table') {
          if (action === 'delete') this.tables.delete(key);
          else if (!this.tables.has(key)) this.tables.set(key, new Map());
          continue;
        }
        const chains = this.tables.get(key);
        if (chains === undefined) throw failure('EREFUSED');
        if (what === 'rule') chains.get(chain)?.push(rest.join(' '));
        else if (action === 'delete') chains.delete(chain);
        else if (action === 'flush') chains.set(chain, []);
        else if (!chains.has(chain)) chains.set(chain, []);
      }
    });
  }
  hasDnsmasq(): boolean {
    return true;
  }
  async startDhcp(spec: Parameters<Host['startDhcp']>[0]) {
    const mark = { pid: this.steps + 1000, startTime: '1', note: '', ranges: '' };
    this.#change(() => this.dhcpServers.set(spec.bridge, mark));
    return mark;
  }
  dhcpRanges(): string {
    return '';
  }
  isRunning(mark: ProcessMark): boolean {
    return [...this.dhcpServers.values()].some((one) => one.pid === mark.pid);
  }
  async stopDhcp(bridge: string): Promise<void> {
    this.#change(() => this.dhcpServers.delete(bridge));
  }

  /** Persistent devices stay when the process dies, as real ones do. */
  async addLink(spec: Parameters<Tunnels['addLink']>[0]) {
    const there = this.state.links.find((link) => link.name === spec.device);
    if (there !== undefined) return { ifindex: there.index, offloads: [] };
    let ifindex = 0;
    this.#change(() => {
      ifindex = this.#add(spec.device, 'tun');
    });
    return { ifindex, offloads: [] };
  }
  async removeLink(): Promise<void> {
    this.#check();
  }
  forgetLink(): void {}
  async updateLink(): Promise<void> {
    this.#check();
  }
  async setSuperBytes(): Promise<void> {
    this.#check();
  }
  async missing(): Promise<string[]> {
    return [];
  }
  async moveLink(_from: AnySpec, spec: AnySpec): Promise<number> {
    await this.removeLink();
    return (await this.addLink(spec)).ifindex;
  }
}
