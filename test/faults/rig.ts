/**
 * Two hosts with a fanway and a container each, a pulse between the containers that tells how long
 * traffic stood still, and what the fault tests look at: processes, descriptors, processor time,
 * the host's network, the packet balance.
 * @module
 */

import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import type { RouterStatus } from '../../src/api/status.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { Lab, type LabContainer, type LabHost, type LabOptions } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { unaccounted } from '../../src/table/counters.ts';
import { startTraffic } from '../../src/traffic/run.ts';
import { testProgram } from '../netns/relay.ts';
import { IPV6_LENGTH, moveToIpv6 } from '../support/ipv6-underlay.ts';
import { PATIENCE, sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';

export const OVERLAY = '250.0.0.0/8';
/** The bridge in every host; a name of its own, so that a new slice keeps it. */
export const BRIDGE = 'fan-250';
const PULSE_PORT = 7007;
const PULSE_MS = 5;

export type Encap = 'vxlan' | 'ipip' | 'fou';

/** Milliseconds on the clock that the pulse uses too. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

type Beat = { number: number; sentMs: number; answeredMs: number };

/** A small question every 5 ms from one container to another, and the answers. */
export class Pulse {
  readonly beats: Beat[] = [];
  readonly #children: ChildProcess[];

  private constructor(children: ChildProcess[], lines: AsyncIterable<string>) {
    this.#children = children;
    void this.#read(lines);
  }

  static async start(from: LabContainer, to: LabContainer): Promise<Pulse> {
    const program = testProgram('faults/pulse-main.js');
    const address = formatIpv4(to.address);
    const start = async (at: LabContainer, role: string) => {
      const child = at.spawn(
        process.execPath,
        [program, role, address, String(PULSE_PORT), String(PULSE_MS)],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      );
      if (child.stdout === null) throw new TypeError('the pulse is piped');
      const lines = createInterface({ input: child.stdout });
      await new Promise((resolve) => lines.once('line', resolve));
      return { child, lines };
    };
    const answer = await start(to, 'answer');
    const ask = await start(from, 'ask');
    return new Pulse([answer.child, ask.child], ask.lines);
  }

  async #read(lines: AsyncIterable<string>): Promise<void> {
    for await (const line of lines) {
      const [number = 0, sentNs = 0, answeredNs = 0] = line.split(' ').map(Number);
      this.beats.push({ number, sentMs: sentNs / 1e6, answeredMs: answeredNs / 1e6 });
    }
  }

  /**
   * When the first question asked at or after `sinceMs` was answered, in ms after `sinceMs`.
   * @throws Error when there is none within `timeoutMs`.
   */
  async back(sinceMs: number, timeoutMs: number): Promise<number> {
    const beat = await until('an answer', timeoutMs, () =>
      this.beats.findLast((beat) => beat.sentMs >= sinceMs) === undefined
        ? undefined
        : this.beats.find((beat) => beat.sentMs >= sinceMs),
    );
    return beat.answeredMs - sinceMs;
  }

  /** The longest time between two answers since `sinceMs`, and how many questions had none. */
  gaps(sinceMs = 0): { longestMs: number; lost: number; late: number; doubled: number } {
    const beats = this.beats.filter((beat) => beat.sentMs >= sinceMs);
    const result = { longestMs: 0, lost: 0, late: 0, doubled: 0 };
    const seen = new Set<number>();
    let highest = -1;
    let last: Beat | undefined;
    for (const beat of beats) {
      if (seen.has(beat.number)) result.doubled++;
      else if (beat.number < highest) result.late++;
      seen.add(beat.number);
      highest = Math.max(highest, beat.number);
      if (last !== undefined) {
        result.longestMs = Math.max(result.longestMs, beat.answeredMs - last.answeredMs);
      }
      last = beat;
    }
    const first = beats[0]?.number ?? 0;
    result.lost = beats.length === 0 ? 0 : highest - first + 1 - seen.size;
    return result;
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

export type Rig = {
  lab: Lab;
  a: LabHost;
  b: LabHost;
  from: LabContainer;
  to: LabContainer;
  pulse: Pulse;
};

/** A lab with fanway up on both hosts, containers attached and the pulse beating. */
export async function startRig(
  t: Test,
  options: LabOptions & { encap?: Encap; up?: string[]; pulse?: boolean; ipv6?: boolean } = {},
): Promise<Rig> {
  const lab = await Lab.create({ hosts: 2, ...options });
  t.teardown(() => lab.close());
  const { encap = 'vxlan', up = [] } = options;
  if (options.ipv6 === true) await moveToIpv6(lab);
  const underlay = options.ipv6 === true ? `eth0/${IPV6_LENGTH}` : 'eth0/16';
  for (const host of lab.hosts) {
    await runFanway(host, ['up', OVERLAY, underlay, 'bridge', BRIDGE, '--encap', encap, ...up]);
    await attach(host);
  }
  const [from, to] = [lab.container(0), lab.container(1)];
  const pulse = await Pulse.start(from, to);
  t.teardown(() => pulse.stop());
  await pulse.back(nowMs(), 10_000);
  return { lab, a: lab.host(0), b: lab.host(1), from, to, pulse };
}

/** Plugs a host's containers into its bridge as .10, .11, … of its slice. */
export async function attach(host: LabHost): Promise<void> {
  const [gateway] = await host.netlink.addresses(BRIDGE);
  if (gateway === undefined) throw new Error(`${BRIDGE} on ${host.name} has no address`);
  for (const [index, container] of host.containers.entries()) {
    await container.attach({
      bridge: BRIDGE,
      address: gateway.address + 9 + index,
      length: gateway.length,
      gateway: gateway.address,
    });
  }
}

/** Makes two machines on one segment neighbours for good, so that neither asks by ARP. */
export async function know<N extends LabHost | LabContainer>(one: N, other: N): Promise<void> {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    const { address } = await to.netlink.link('eth0');
    await from.netlink.addNeighbour('eth0', to.address, address);
  }
}

/** What the router of a host says of itself, over its own socket. */
export async function statusOf(host: LabHost): Promise<RouterStatus> {
  return (await callRouter(new RunDirectory(host.runDirectory), '/v1/status', undefined, {
    anyNamespace: true,
  })) as RouterStatus;
}

export async function dataProcess(host: LabHost): Promise<RouterStatus['processes'][number]> {
  const [process] = (await statusOf(host)).processes;
  if (process === undefined) throw new Error(`${host.name} runs no data process`);
  return process;
}

/** One burst: what a data process has in hand at most, packets of a device and messages of a socket. */
const IN_HAND = 64;
/** How many data processes of a host died with what they had in hand. */
const deaths = new WeakMap<LabHost, number>();

/** Notes that a data process of the host was killed, for {@link checkBalance}. */
export function noteDeath(host: LabHost): void {
  deaths.set(host, (deaths.get(host) ?? 0) + 1);
}

/**
 * Kills the host's data process as soon as there is one, and returns which it was. What it had in
 * hand dies with it, and {@link checkBalance} knows.
 */
export async function killDataProcess(host: LabHost): Promise<RouterStatus['processes'][number]> {
  const victim = await until('a data process', 10_000, async () => {
    const found = await dataProcess(host);
    return found.alive && found.pid > 0 && found;
  });
  noteDeath(host);
  killIfThere(victim.pid);
  return victim;
}

/** Counters of the host's only link. */
export async function countersOf(host: LabHost): Promise<Record<string, number>> {
  const all = await callRouter(new RunDirectory(host.runDirectory), '/v1/counters', undefined, {
    anyNamespace: true,
  });
  return Object.values(all as Record<string, Record<string, number>>)[0] ?? {};
}

/** How many of the named counters have grown, as `name: amount`, zeros left out. */
export function growth(
  before: Record<string, number>,
  after: Record<string, number>,
  pattern: RegExp,
): Record<string, number> {
  const grown: Record<string, number> = {};
  for (const [name, value] of Object.entries(after)) {
    const more = value - (before[name] ?? 0);
    if (more !== 0 && pattern.test(name)) grown[name] = more;
  }
  return grown;
}

/** How long a packet that is in hand may take to reach its end, ms. */
const IN_HAND_MS = 5000 * PATIENCE;

/**
 * The conservation law on one host. While traffic flows, a packet may be in hand just when the
 * counters are read (received, not yet delivered), so it is asked again until the sums agree; what
 * is truly lost stays missing, but for what killed data processes took with them.
 */
export async function checkBalance(t: Test, host: LabHost): Promise<void> {
  const lostMax = IN_HAND * (deaths.get(host) ?? 0);
  for (const direction of ['egress', 'ingress'] as const) {
    const deadline = nowMs() + IN_HAND_MS;
    for (;;) {
      const counters = await countersOf(host);
      const rest = unaccounted(counters, direction);
      const received = counters[`${direction}.received`] ?? 0;
      const balanced = rest >= 0 && rest <= lostMax && received > 0;
      if (!balanced && nowMs() < deadline) {
        await sleep(20);
        continue;
      }
      t.ok(
        balanced,
        `${host.name} ${direction}: ${received} received, ${rest} unaccounted (allowed ${lostMax})`,
      );
      break;
    }
  }
}

/** UDP with sequence numbers from one container or host to another; the result says what came of it. */
export async function startFlow(
  from: LabContainer | LabHost,
  to: LabContainer | LabHost,
  options: {
    rate: number;
    seconds: number;
    size?: number;
    port?: number;
    flows?: number;
    /** Of the receiver, where it is not its own. */
    address?: number;
  },
) {
  const { rate, seconds, size = 200, port = 7100, flows = 1 } = options;
  const address = formatIpv4(options.address ?? to.address);
  const timeoutMs = (seconds + 100) * 1000;
  const receiver = startTraffic(
    to,
    'udp-receive',
    { listen: address, port, size, flows, seconds: seconds + 90 },
    timeoutMs,
  );
  await receiver.ready;
  const sender = startTraffic(
    from,
    'udp-send',
    { connect: address, port, rate, seconds, size, flows },
    timeoutMs,
  );
  return {
    /** Ends with both reports once everything that was sent has come or is lost. */
    async finish() {
      const sent = await sender.result;
      return { sent, received: await receiver.finish() };
    },
    kill() {
      sender.kill();
      receiver.kill();
    },
  };
}

/** Open descriptors of a process. */
export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** The same once what comes and goes with each question to a router has gone. */
export async function settledDescriptors(pid: number): Promise<number> {
  let least = Number.MAX_SAFE_INTEGER;
  for (let look = 0; look < 10; look++) {
    least = Math.min(least, descriptorCount(pid));
    await sleep(20);
  }
  return least;
}

/** Processor time a process has used, ms (user and kernel, all threads; ticks of 10 ms). */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Share of one processor that each of the processes used over `ms`; NaN for one that ended. */
export async function cpuShares(pids: readonly number[], ms: number): Promise<number[]> {
  const used = (pid: number) => {
    try {
      return cpuMs(pid);
    } catch {
      return Number.NaN;
    }
  };
  const before = pids.map(used);
  const start = nowMs();
  await sleep(ms);
  const elapsed = nowMs() - start;
  return pids.map((pid, i) => (used(pid) - (before[i] ?? 0)) / elapsed);
}

/** The host's links with their indexes, addresses and routes, as lines that can be compared. */
export async function picture(host: LabHost): Promise<string[]> {
  const { netlink } = host;
  const links = await netlink.links();
  const addresses = await netlink.addresses();
  const routes = await netlink.routes();
  return [
    ...links.map((link) => {
      const { index, name, kind, up, mtu, master, alias, address } = link;
      return ['link', index, name, kind, up, mtu, master, alias, address.toString(16)].join(' ');
    }),
    ...addresses.map((a) => ['address', a.index, formatIpv4(a.address), a.length].join(' ')),
    ...routes.map((r) =>
      ['route', formatIpv4(r.dst.address), r.dst.length, r.oif, r.table, formatIpv4(r.src)].join(
        ' ',
      ),
    ),
  ].sort();
}

/** Middle, 95th percentile and worst of some times, for a test's comment. */
export function spread(values: readonly number[]): { p50: number; p95: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    Math.round(sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0);
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}
