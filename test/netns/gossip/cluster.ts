/**
 * A cluster of real routers that gossip, each in its namespace, and what the tests ask them.
 * @module
 */

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { EntryJson } from '../../../src/api/entries.ts';
import type { GossipStatus } from '../../../src/api/gossip.ts';
import type { MemberEvent, MemberJson } from '../../../src/api/members.ts';
import type { RouterStatus } from '../../../src/api/status.ts';
import { callRouter } from '../../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../../src/control/store/run-directory.ts';
import { Lab, type LabHost, type LabOptions } from '../../../src/demo/lab.ts';
import { killAllIn } from '../../../src/demo/processes.ts';
import type { RouterHost } from '../../../src/demo/router.ts';
import { formatKeyId, Keyring } from '../../../src/gossip/base/keyring.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { fanway } from '../../control/lab-router.ts';
import { sleep } from '../../support/patience.ts';

export const OVERLAY = '250.0.0.0/8';
/** Nothing here takes longer on a machine that is not overrun; what is measured goes to comments. */
export const PATIENCE_MS = 180_000;

export type Cluster = {
  lab: Lab;
  hosts: LabHost[];
  /** The cluster's key file. */
  keyFile: string;
};

/**
 * Runs `fanway ARGS` on a host and returns what it printed. It may take its time: on a machine that
 * measures something else at real-time priority a process may not run for seconds.
 * @throws Error with what it said when it fails.
 */
export async function runFanway(host: RouterHost, args: readonly string[]): Promise<string> {
  const { code, out, err } = await fanway(host, ...args);
  if (code === 0) return out;
  throw new Error(`fanway ${args.join(' ')} on ${host.name}: ${err}${out}`);
}

/** Waits until `look` gives something true; throws with `what` after three minutes. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
): Promise<{ value: T; tookMs: number }> {
  const startMs = performance.now();
  for (;;) {
    const value = await look();
    const tookMs = Math.round(performance.now() - startMs);
    if (value !== undefined && value !== false) return { value, tookMs };
    if (tookMs > PATIENCE_MS) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await sleep(50);
  }
}

export function ask(host: LabHost, path: string, body?: unknown): Promise<unknown> {
  return callRouter(new RunDirectory(host.runDirectory), path, body, { anyNamespace: true });
}

/** As the host sees them, itself included, by name. */
export async function membersOf(host: LabHost): Promise<Map<string, MemberJson>> {
  const members = (await ask(host, '/v1/gossip/members')) as MemberJson[];
  return new Map(members.map((member) => [member.name || member.id, member]));
}

export async function gossipOf(host: LabHost): Promise<GossipStatus> {
  const { gossip } = (await ask(host, '/v1/status')) as RouterStatus;
  if (gossip === null) throw new Error(`${host.name} does not gossip`);
  return gossip;
}

/** The moved prefixes as the host sees them: `250.1.27.9/32 host1`. */
export async function prefixesOf(host: LabHost): Promise<string[]> {
  const body = { kind: 'prefix', vni: null, from: 0 };
  const { entries } = (await ask(host, '/v1/gossip/table', body)) as { entries: EntryJson[] };
  return entries.map(({ prefix, name }) => `${prefix} ${name}`).sort();
}

export async function eventsOf(host: LabHost): Promise<MemberEvent[]> {
  const { events } = (await ask(host, '/v1/gossip/events', { after: 0 })) as {
    events: MemberEvent[];
  };
  return events;
}

/** A counter of the channel, from the metrics page. */
export async function metricOf(host: LabHost, name: string): Promise<number> {
  const page = await rawMetrics(host);
  const line = page.split('\n').find((line) => line.startsWith(`fanway_gossip_${name} `));
  if (line === undefined) throw new Error(`no metric ${name}`);
  return Number(line.split(' ')[1]);
}

/** The metrics page of a host's router. */
export async function rawMetrics(host: LabHost): Promise<string> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const options = {
      socketPath: new RunDirectory(host.runDirectory).socket,
      path: '/metrics',
      headers: { host: 'fanway' },
    };
    request(options, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
}

/** A lab with a fan on every host and a key for all of them; nobody has joined yet. */
export async function makeCluster(
  t: Test,
  options: LabOptions & { fans?: boolean } = {},
): Promise<Cluster> {
  const lab = await Lab.create({ containersPerHost: 0, ...options });
  t.teardown(() => lab.close());
  const keyFile = join(lab.host(0).runDirectory, 'cluster.key');
  writeFileSync(keyFile, Keyring.generate(randomBytes).format(), { mode: 0o600 });
  if (options.fans !== false) {
    await Promise.all(lab.hosts.map((host) => runFanway(host, ['up', OVERLAY, 'eth0/16'])));
  }
  return { lab, hosts: lab.hosts, keyFile };
}

/** Joins a host to the cluster of the first one, under its lab name. */
export async function joinHost(
  { hosts, keyFile }: Cluster,
  host: LabHost,
  args: string[] = [],
): Promise<void> {
  const [first] = hosts;
  const seeds = first === undefined || first === host ? [] : [formatIpv4(first.address)];
  await runFanway(host, ['join', ...seeds, '--name', host.name, '--key', keyFile, ...args]);
}

/** Resolves when each of `hosts` sees all of them alive; returns the time, ms. */
export async function allAlive(hosts: readonly LabHost[]): Promise<number> {
  const { tookMs } = await until(`${hosts.length} hosts see each other`, async () => {
    for (const host of hosts) {
      const members = await membersOf(host);
      if (hosts.some(({ name }) => members.get(name)?.state !== 'alive')) return false;
    }
    return true;
  });
  return tookMs;
}

/** Resolves when every one of `hosts` sees `name` in `state`; returns the time, ms. */
export async function seenAs(
  hosts: readonly LabHost[],
  id: string,
  states: readonly MemberJson['state'][],
): Promise<number> {
  const { tookMs } = await until(`${id} is seen as ${states.join(' or ')}`, async () => {
    for (const host of hosts) {
      const members = [...(await membersOf(host)).values()];
      const state = members.find((member) => member.id === id)?.state;
      if (state === undefined || !states.includes(state)) return false;
    }
    return true;
  });
  return tookMs;
}

/** Resolves when the tables of all hosts have one hash; returns the time, ms. */
export async function equalTables(hosts: readonly LabHost[]): Promise<number> {
  const { tookMs } = await until('equal tables', async () => {
    const hashes = new Set<string>();
    for (const host of hosts) hashes.add((await gossipOf(host)).hash);
    return hashes.size === 1;
  });
  return tookMs;
}

/** A cluster in which everybody has joined and sees everybody. */
export async function startCluster(
  t: Test,
  options: LabOptions & { fans?: boolean; join?: string[] } = {},
): Promise<Cluster> {
  const cluster = await makeCluster(t, options);
  for (const host of cluster.hosts) await joinHost(cluster, host, options.join);
  t.comment(`all see each other after ${await allAlive(cluster.hosts)} ms`);
  return cluster;
}

/** Ends everything on a host, as a power cut would. */
export function powerCut(host: LabHost): void {
  killAllIn(host.namespace.inode);
}

/** A new key file beside a host's state, and the key's id. */
export function newKey(host: LabHost): { file: string; id: string } {
  const keyring = Keyring.generate(randomBytes);
  const file = join(host.runDirectory, `${formatKeyId(keyring.inUse.id)}.key`);
  writeFileSync(file, keyring.format(), { mode: 0o600 });
  return { file, id: formatKeyId(keyring.inUse.id) };
}
