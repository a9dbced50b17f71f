/**
 * One host that runs fanway, brought up through its own command line, and an attacker on its
 * underlay who may write any frame. A probe is shot at it and everything that it set in motion is
 * seen: counters, frames out of the tunnel device, frames back on the underlay.
 * @module
 */
import { readFileSync } from 'node:fs';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import {
  Lab,
  type LabContainer,
  type LabHost,
  type LabNode,
  type LabOptions,
} from '../../src/demo/lab.ts';
import { type FanMap, sliceOf } from '../../src/net/fan.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { readSysctl, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { openUdp } from '../../src/sys/sockets/sockets.ts';
import { unaccounted } from '../../src/table/counters.ts';
import { fanway } from '../control/lab-router.ts';
import { PATIENCE, sleep, until } from './patience.ts';
import { Wire } from './wire.ts';

export type Encapsulation = 'vxlan' | 'ipip' | 'fou';
export const ENCAPSULATIONS: readonly Encapsulation[] = ['vxlan', 'ipip', 'fou'];
/** UDP port at which containers listen, so that no kernel answers "port unreachable". */
export const LISTEN_PORT = 9000;
/** Last byte of container addresses. */
export const CONTAINER_NUMBER = 10;

export type Counters = Record<string, number>;

/** All counters of a host's links together, by public name. */
export async function countersOf(host: LabHost): Promise<Counters> {
  const links = (await callRouter(new RunDirectory(host.runDirectory), '/v1/counters', undefined, {
    anyNamespace: true,
  })) as Record<string, Counters>;
  const total: Counters = {};
  for (const counters of Object.values(links)) {
    for (const [name, value] of Object.entries(counters)) total[name] = (total[name] ?? 0) + value;
  }
  return total;
}

/** What moved between two readings, without the byte counters and `event.` beside the balance. */
export function moved(before: Counters, after: Counters, prefix = 'ingress.'): Counters {
  const result: Counters = {};
  for (const [name, value] of Object.entries(after)) {
    if (!name.startsWith(prefix) || name.endsWith('Bytes')) continue;
    const by = value - (before[name] ?? 0);
    if (by !== 0) result[name] = by;
  }
  return result;
}

/** How long packets in flight may keep the books open. */
const BALANCE_MS = 3000 * PATIENCE;

/**
 * Packets that no counter explains on any host, both directions. Call it when traffic has stopped:
 * a packet that is still between two counters is waited for.
 */
export async function imbalance(hosts: readonly LabHost[]): Promise<number> {
  const deadline = Date.now() + BALANCE_MS;
  for (;;) {
    let rest = 0;
    for (const host of hosts) {
      const counters = await countersOf(host);
      rest += Math.abs(unaccounted(counters, 'egress'));
      rest += Math.abs(unaccounted(counters, 'ingress'));
    }
    if (rest === 0 || Date.now() > deadline) return rest;
    await sleep(20);
  }
}

/** Runs fanway on a host. @throws Error with what it said when it fails */
export async function fanwayUp(host: LabHost, ...args: string[]): Promise<void> {
  const { code, err, out } = await fanway(host, 'up', ...args);
  if (code !== 0) throw new Error(`fanway up ${args.join(' ')}: ${err}${out}`);
}

/** Joins a container to the fan's bridge under its slice's `number`. */
export async function joinFan(
  container: LabContainer,
  bridge: string,
  number: number,
): Promise<void> {
  const [gateway] = await container.host.netlink.addresses(bridge);
  if (gateway === undefined) throw new Error(`${bridge} has no address`);
  await container.attach({
    bridge,
    address: gateway.address - 1 + number,
    length: gateway.length,
    gateway: gateway.address,
  });
}

/** Opens a UDP port in a namespace so that datagrams to it meet no "port unreachable". */
export function listenIn(container: LabContainer, port = LISTEN_PORT): number {
  return container.run(
    () => openUdp(container.address, port, { offload: false, reusePort: false }).fd,
  );
}

/** `Udp.InErrors` and the like of a namespace, by `Group.Name`. */
export function kernelCounters(host: LabHost): Counters {
  const result: Counters = {};
  for (const file of ['/proc/self/net/snmp', '/proc/self/net/netstat']) {
    const lines = host
      .run(() => readFileSync(file, 'utf8'))
      .trim()
      .split('\n');
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const names = (lines[i] ?? '').split(' ');
      const values = (lines[i + 1] ?? '').split(' ');
      const group = (names[0] ?? '').replace(':', '');
      for (let n = 1; n < names.length; n++) result[`${group}.${names[n]}`] = Number(values[n]);
    }
  }
  return result;
}

export type TargetOptions = {
  encap: Encapsulation;
  offload?: 'auto' | 'off';
  /** More words for `fanway up`. */
  flags?: readonly string[];
  lab?: LabOptions;
  overlay?: string;
  /** False: the victim gets no fanway (something else shall stand there). */
  up?: boolean;
};

/** What one probe set in motion. */
export type Effect = {
  /** Ingress packet counters, by how much. */
  counters: Counters;
  kernel: Counters;
  /** Frames that came out of the tunnel device. */
  inside: Buffer[];
  /** Frames that came back on the underlay. */
  answers: Buffer[];
};

export class Target {
  readonly lab: Lab;
  readonly victim: LabHost;
  readonly attacker: LabHost;
  readonly map: FanMap;
  readonly bridge: string;
  victimMac = 0;
  attackerMac = 0;
  containerMac = 0;
  /** The attacker's cable, and the victim's tunnel devices. */
  underlay!: Wire;
  devices: Wire[] = [];
  readonly #watched = new Set<string>();
  readonly #open: number[] = [];
  readonly #wires: Wire[] = [];

  private constructor(lab: Lab, overlay: string) {
    this.lab = lab;
    this.victim = lab.host(0);
    this.attacker = lab.host(1);
    this.map = { overlay: parsePrefix(overlay), underlay: lab.underlay };
    this.bridge = 'fan-test';
  }

  /** Host 0 runs fanway with one container at {@link CONTAINER_NUMBER}; host 1 is the attacker's. */
  static async create(options: TargetOptions): Promise<Target> {
    const overlay = options.overlay ?? '250.0.0.0/8';
    const lab = await Lab.create({ hosts: 2, ...options.lab });
    const target = new Target(lab, overlay);
    try {
      await target.#build(options, overlay);
    } catch (error) {
      target.close();
      throw error;
    }
    return target;
  }

  async #build(options: TargetOptions, overlay: string): Promise<void> {
    const { victim, attacker, bridge } = this;
    // The worst case: nothing but fanway checks where a datagram comes from.
    victim.run(() => {
      for (const scope of ['all', 'eth0']) writeSysctl(`net/ipv4/conf/${scope}/rp_filter`, '0');
      writeSysctl('net/ipv4/conf/eth0/accept_local', '1');
      // What stays a fragment is answered after this long, perhaps in the middle of another probe.
      writeSysctl('net/ipv4/ipfrag_time', '600');
    });
    // Where bridges hand frames to the firewall they judge IP headers themselves: not here.
    for (const node of [this.lab.middle, victim]) {
      node.run(() => {
        const key = 'net/bridge/bridge-nf-call-iptables';
        if (readSysctl(key) !== null) writeSysctl(key, '0');
      });
    }
    this.victimMac = (await victim.netlink.link('eth0')).address;
    this.attackerMac = (await attacker.netlink.link('eth0')).address;
    this.underlay = this.wire(attacker, 'eth0');
    await victim.netlink.addNeighbour('eth0', attacker.address, this.attackerMac);
    const { encap, offload = 'auto', flags = [] } = options;
    if (options.up === false) return;
    const width = String(this.map.underlay.length);
    await fanwayUp(
      victim,
      ...[overlay, `eth0/${width}`, 'bridge', bridge, '--encap', encap, '--offload', offload],
      ...flags,
    );
    await this.join();
  }

  /** Joins the victim's container to the bridge and starts to listen on the tunnel device. */
  async join(): Promise<void> {
    const container = this.lab.container(0);
    await joinFan(container, this.bridge, CONTAINER_NUMBER);
    this.#open.push(listenIn(container));
    this.containerMac = (await container.netlink.link('eth0')).address;
    await this.watchDevices();
  }

  /** Listens on every tunnel device that is there now. */
  async watchDevices(): Promise<void> {
    for (const link of await this.victim.netlink.links()) {
      if (link.kind !== 'tun' || this.#watched.has(link.name)) continue;
      this.#watched.add(link.name);
      this.devices.push(this.wire(this.victim, link.name));
    }
  }

  /** Closes a descriptor with the target. */
  keepOpen(fd: number): void {
    this.#open.push(fd);
  }

  /** Opens a wire that is closed with the target. */
  wire(node: LabNode, device: string, filter?: Buffer): Wire {
    const wire = Wire.open(node, device, filter);
    this.#wires.push(wire);
    return wire;
  }

  /** First address of a host's slice. */
  sliceOf(host: number): number {
    return sliceOf(this.map, host).address;
  }

  counters(): Promise<Counters> {
    return countersOf(this.victim);
  }

  /**
   * Sends frames as one datagram of the attacker's and waits until a counter of fanway's moved, or
   * `graceMs` passed where the kernel shall have kept it.
   */
  async shoot(frames: readonly Buffer[], graceMs: number): Promise<Effect> {
    const { victim } = this;
    for (const device of this.devices) device.take();
    this.underlay.take();
    const before = await this.counters();
    const kernelBefore = kernelCounters(victim);
    for (const frame of frames) this.underlay.send(frame);
    const deadline = Date.now() + graceMs;
    let after = await this.counters();
    const isOver = (): boolean =>
      after['ingress.received'] !== before['ingress.received'] &&
      unaccounted(after, 'ingress') === 0;
    while (Date.now() < deadline && !isOver()) {
      await sleep(1);
      after = await this.counters();
    }
    return {
      counters: moved(before, after),
      kernel: moved(kernelBefore, kernelCounters(victim), ''),
      inside: this.devices.flatMap((device) => device.arrived()),
      answers: this.underlay.arrived(),
    };
  }

  /** Waits until the victim's counters rest, then says what no counter explains. */
  async settle(): Promise<number> {
    let last = '';
    await until('counters rest', 5000, async () => {
      const now = JSON.stringify(moved({}, await this.counters(), ''));
      const rests = now === last;
      last = now;
      return rests;
    });
    return imbalance([this.victim]);
  }

  close(): void {
    for (const fd of this.#open.splice(0)) libc.close(fd);
    for (const wire of this.#wires.splice(0)) wire.close();
    this.lab.close();
  }
}
