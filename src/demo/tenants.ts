/**
 * The demo's other scenery: two tenants on three hosts, each in a layer-2 network of its own, with the
 * same addresses and the same MACs, and a container that moves while it is being asked.
 * @module
 */
import { join } from 'node:path';
import { formatIpv4 } from '../net/ipv4.ts';
import { formatMac } from '../net/mac.ts';
import { runEcho } from '../traffic/run.ts';
import { Lab, type LabContainer } from './lab.ts';
import type { Checkpoint } from './measure.ts';
import { runFanway } from './router.ts';
import { closeLab } from './stage.ts';
import type { TenantsReport } from './tenants-report.ts';

const HOSTS = 3;
/** One for each tenant, and one that moves. */
const CONTAINERS_PER_HOST = 3;
const UNDERLAY = '172.30.0.0/16';
const TENANTS = [
  ['blue', '100'],
  ['red', '200'],
] as const;
const [MOVES_IN] = TENANTS[0];
/** The first address and MAC of each tenant; hosts count upwards. */
const FIRST = { address: 0x0a010001, mac: 0x02_00_00_00_00_01, length: 24 };
const MOVER = { address: 0x0a010009, mac: 0x02_00_00_00_00_09 };
const ECHO_ROUNDS = 20;
/** While a container moves it is asked this often, ms. */
const MOVE_INTERVAL_MS = 50;
const MOVE_ROUNDS = 60;
const MOVE_BEGINS_MS = 700;
const KNOWN_TRIES = 50;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Tenants {
  readonly lab: Lab;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  /** Builds hosts and containers. @throws SystemError EPERM without the right to make namespaces. */
  static async build(): Promise<Tenants> {
    const shape = { hosts: HOSTS, containersPerHost: CONTAINERS_PER_HOST };
    return new Tenants(await Lab.create({ ...shape, underlay: UNDERLAY }));
  }

  /** Puts the networks up, asks everybody, moves a container. `say` may throw to stop in between. */
  async run(report: TenantsReport, say: Checkpoint): Promise<void> {
    await this.#join();
    say('three hosts gossip');
    const { hosts } = this.lab;
    const addAll = async (host: (typeof hosts)[number]): Promise<void> => {
      for (const [name, vni] of TENANTS) {
        const where = ['--underlay', 'eth0/16'];
        await runFanway(host, ['net', 'add', name, '--vni', vni, ...where]);
      }
    };
    await Promise.all(hosts.map(addAll));
    for (const [index, [name]] of TENANTS.entries()) {
      for (const [i, container] of this.#all(index).entries()) {
        await plug(container, name, { address: FIRST.address + i, mac: FIRST.mac + i });
      }
    }
    say('blue and red are up, with the same addresses and MACs');
    for (const [index, [network]] of TENANTS.entries()) {
      await this.#untilMet(this.#all(index));
      report.tenants.push({ network, ...(await this.#echo(this.#all(index))) });
      say(`${network}: everybody has asked everybody`);
    }
    report.move = await this.#move(say);
    for (const host of hosts) report.flooded.push(...(await floodsOf(host)));
  }

  close(): string[] {
    return closeLab(this.lab);
  }

  async #join(): Promise<void> {
    const { hosts } = this.lab;
    const [first] = hosts;
    if (first === undefined) return;
    const key = join(first.runDirectory, 'gossip.key');
    await runFanway(first, ['keygen', '--out', key]);
    for (const host of hosts) {
      const seeds = host === first ? [] : [formatIpv4(first.address)];
      await runFanway(host, ['join', ...seeds, '--key', key, '--name', host.name]);
    }
  }

  #all(tenant: number): LabContainer[] {
    return this.lab.hosts.map((_, host) => this.lab.container(host, tenant));
  }

  /** A container is known once it has said a word. */
  async #untilMet(containers: readonly LabContainer[]): Promise<void> {
    for (let tries = 0; tries < KNOWN_TRIES; tries++) {
      const { answered, pairs } = await this.#echo(containers, 1);
      if (answered === pairs) return;
    }
  }

  async #echo(containers: readonly LabContainer[], count = ECHO_ROUNDS) {
    const sum = { pairs: 0, answered: 0, sent: 0, received: 0, rttAvgUs: 0 };
    for (const from of containers) {
      const others = containers.filter((other) => other !== from);
      const addresses = others.map(({ address }) => formatIpv4(address));
      const { targets } = await runEcho(from, addresses, { count, timeout: 500 });
      for (const { sent, received, rtt } of targets) {
        sum.pairs++;
        if (received > 0) sum.answered++;
        sum.sent += sent;
        sum.received += received;
        sum.rttAvgUs += (rtt.avgUs - sum.rttAvgUs) / sum.pairs;
      }
    }
    return sum;
  }

  async #move(say: Checkpoint): Promise<NonNullable<TenantsReport['move']>> {
    const mover = CONTAINERS_PER_HOST - 1;
    const [asker, old] = [this.lab.container(1, 0), this.lab.container(0, mover)];
    const young = this.lab.container(HOSTS - 1, mover);
    await plug(old, MOVES_IN, MOVER);
    await this.#untilMet([asker, old]);
    const address = formatIpv4(MOVER.address);
    say(`${address} (${formatMac(MOVER.mac)}) moves from ${old.host.name} to ${young.host.name}`);
    const stream = runEcho(asker, [address], {
      count: MOVE_ROUNDS,
      interval: MOVE_INTERVAL_MS,
      timeout: MOVE_INTERVAL_MS,
    });
    await sleep(MOVE_BEGINS_MS);
    await old.detach();
    await plug(young, MOVES_IN, MOVER);
    await runEcho(young, [formatIpv4(asker.address)], { count: 1, timeout: MOVE_INTERVAL_MS });
    const { targets } = await stream;
    const [{ sent, received } = { sent: 0, received: 0 }] = targets;
    const after = await runEcho(asker, [address], { count: 1 });
    return {
      ...{ from: old.host.name, to: young.host.name, sent, received },
      awayMs: (sent - received) * MOVE_INTERVAL_MS,
      isThere: (after.targets[0]?.received ?? 0) > 0,
    };
  }
}

/** Plugs a container in, with a MAC and an address of its own. */
async function plug(
  container: LabContainer,
  network: string,
  { address, mac }: { address: number; mac: number },
): Promise<void> {
  await container.netlink.setLink('eth0', { up: false });
  await container.netlink.setLink('eth0', { address: mac });
  await container.attach({ bridge: `br-${network}`, address, length: FIRST.length });
}

/** Which networks of a host flooded something, as sentences. */
async function floodsOf(host: LabContainer['host']): Promise<string[]> {
  try {
    await runFanway(host, ['net', 'show', '--assert-floodless']);
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
