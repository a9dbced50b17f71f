/**
 * One fanway on one lab host, driven through its own command line, as a user drives it.
 * @module
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { programCommand } from '../sys/host/paths.ts';

/** Where a router runs: a LabHost. */
export type RouterHost = {
  readonly name: string;
  readonly environment: NodeJS.ProcessEnv;
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess;
};

/** The command line ended with a failure; the message is what it said. */
class RouterError extends Error {
  override readonly name = 'RouterError';
}

/** Packets that one router itself counted, all links together. */
export type RouterCounters = {
  egressReceived: number;
  egressDelivered: number;
  ingressReceived: number;
  ingressDelivered: number;
  /** Named drops that are not zero: `egress.drop.ipv6` → packets. */
  drops: Record<string, number>;
  /** Packets that no counter explains; 0 when the books balance. */
  unaccounted: number;
};

const COMMAND_MS_MAX = 60_000;
const OUTPUT_BYTES_MAX = 4 << 20;

/**
 * Runs `fanway ARGS` on the host and returns its standard output.
 * @param dist the build to run; this one unless given
 * @throws RouterError when it fails or takes longer than a minute.
 */
export function runFanway(
  host: RouterHost,
  args: readonly string[],
  dist?: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const [command, ...words] = programCommand('fanway', [], dist);
    const child = host.spawn(command, [...words, ...args], {
      env: host.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const title = `fanway ${args.join(' ')} on ${host.name}`;
    let output = '';
    let complaint = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      if (output.length < OUTPUT_BYTES_MAX) output += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint = `${complaint}${chunk.toString()}`.slice(-2000);
    });
    const timer = setTimeout(() => {
      reject(new RouterError(`${title}: no end after ${COMMAND_MS_MAX / 1000} s`));
      child.kill('SIGKILL');
    }, COMMAND_MS_MAX);
    child.on('error', (error) => reject(new RouterError(`${title}: ${error.message}`)));
    // "exit", not "close": the router that `up` leaves behind may hold our pipes open.
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      setImmediate(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        if (code === 0) resolve(output);
        else {
          const why = complaint.trim() || output.trim() || (signal ?? `exit ${code}`);
          reject(new RouterError(`${title}: ${why}`));
        }
      });
    });
  });
}

/** What this host's router counted since it started. @throws RouterError */
export async function readCounters(host: RouterHost): Promise<RouterCounters> {
  const parsed: unknown = JSON.parse(await runFanway(host, ['counters', '--json']));
  const total = new Map<string, number>();
  addCounters(parsed, total);
  const of = (name: string) => total.get(name) ?? 0;
  const drops: Record<string, number> = {};
  let dropped = 0;
  for (const [name, value] of total) {
    if (!name.includes('.drop.') || value === 0) continue;
    drops[name] = value;
    dropped += value;
  }
  const received = of('egress.received') + of('ingress.received');
  const delivered = of('egress.delivered') + of('ingress.delivered');
  return {
    egressReceived: of('egress.received'),
    egressDelivered: of('egress.delivered'),
    ingressReceived: of('ingress.received'),
    ingressDelivered: of('ingress.delivered'),
    drops,
    unaccounted: received - delivered - dropped,
  };
}

/** Adds every `name: number` with a direction in its name, however deep it lies. */
function addCounters(value: unknown, total: Map<string, number>): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === 'number' && /^(egress|ingress)\./.test(name)) {
      total.set(name, (total.get(name) ?? 0) + inner);
    } else addCounters(inner, total);
  }
}
