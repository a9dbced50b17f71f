/**
 * `fanway up`: brings a fan up, starting a router where none runs.
 * @module
 */
import { downCall, endIfIdleCall, type UpAnswer, upCall } from '../../api/fans.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { depthOf, readSnapshot } from '../../control/host/read-snapshot.ts';
import { openHost } from '../../control/host/real-host.ts';
import type { FanRecord } from '../../control/host/snapshot.ts';
import { noteFan } from '../../control/links/beside.ts';
import { planFan } from '../../control/links/plan.ts';
import { recover } from '../../control/links/recover.ts';
import { ControlService, type DataOptions } from '../../control/service.ts';
import { requireOwnNamespace } from '../../control/store/namespace.ts';
import { type Lock, RunDirectory, userRunDirectory } from '../../control/store/run-directory.ts';
import { startRouter, waitReady } from '../../control/supervise.ts';
import { ExitCode } from '../../errors.ts';
import { createLog, type Log } from '../../log.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import {
  DATA_FLAGS,
  DATA_OPTIONS,
  dataArguments,
  readDataOptions,
  requireSame,
} from './data-options.ts';
import { FAN_OPTIONS, type NamedRequest, readRequests } from './fan-requests.ts';
import { refusalError } from './plan-text.ts';

/** A log that writes through the verb's own output. */
export function logTo(io: Io): Log {
  return createLog({ level: 'warn', write: (line) => io.err(line) });
}

/**
 * Plans every fan, each beside those before it, and refuses all when one is refused.
 * @throws FanwayError (exit code 3) with every reason of every fan.
 */
async function checkAll(run: RunDirectory, requests: readonly NamedRequest[]): Promise<void> {
  const host = openHost(run);
  try {
    const fans: FanRecord[] = [];
    const refusals: { code: string; message: string }[] = [];
    for (const { request, where } of requests) {
      const depth = depthOf(request);
      const plan = planFan(request, await readSnapshot(host, fans, depth));
      if (plan.outcome === 'changes') noteFan(fans, request, plan);
      if (plan.outcome !== 'refused') continue;
      for (const { code, message } of plan.refusals) {
        refusals.push({ code, message: `${where}${message}` });
      }
    }
    if (refusals.length > 0) throw refusalError(refusals);
  } finally {
    host.close();
  }
}

/** Removes what a killed router left, and says what that was. */
export async function cleanUp(
  run: RunDirectory,
  io: Io,
  options: { force?: boolean } = {},
): Promise<string[]> {
  requireOwnNamespace(run);
  const host = openHost(run);
  try {
    const found = await recover(run, host, logTo(io), options);
    const names = found.map(({ name }) => name);
    if (names.length > 0) {
      io.err(`fanway: removed what a killed router had left: ${names.join(', ')}\n`);
    }
    return names;
  } finally {
    host.close();
  }
}

function report(plan: UpAnswer, where: string, flags: ReadonlyMap<string, string>, io: Io): void {
  if (plan.outcome === 'refused') throw refusalError(plan.refusals, where);
  if (flags.has('--json')) {
    printJson(io, plan);
    return;
  }
  if (plan.outcome === 'same') io.out(`${where}${plan.message}\n`);
  else {
    for (const warning of plan.warnings) io.err(`fanway: note: ${warning}\n`);
    io.out(`${plan.spec.name}: up\n`);
  }
}

/** Asks a router that runs, one fan after the other. */
async function askRouter(
  run: RunDirectory,
  requests: readonly NamedRequest[],
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<string[]> {
  const names: string[] = [];
  for (const { request, where } of requests) {
    const plan = await ask(run, upCall, { request });
    report(plan, where, flags, io);
    if (plan.outcome === 'changes') names.push(plan.spec.name);
  }
  return names;
}

function nextSignal(): Promise<void> {
  return new Promise((resolve) => {
    // A timer keeps the process alive; a signal handler does not.
    const alive = setInterval(() => undefined, 60_000);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.once(signal, () => {
        clearInterval(alive);
        resolve();
      });
    }
  });
}

/** Runs the router in this process until a signal comes. */
async function runForeground(
  run: RunDirectory,
  lock: Lock,
  requests: readonly NamedRequest[],
  flags: ReadonlyMap<string, string>,
  data: DataOptions,
  io: Io,
): Promise<void> {
  const log = createLog({ write: (line) => io.err(line) });
  const service = await ControlService.start({ run, log, mode: 'foreground', ...data });
  try {
    for (const { request, where } of requests) {
      report(await service.router.up(request), where, flags, io);
    }
  } catch (error) {
    await service.stop();
    throw error;
  }
  lock.release();
  await service.done;
}

export const up: Verb = {
  name: 'up',
  summary: 'bring a fan up',
  details: [
    "OVERLAY is the network of the containers of all hosts, UNDERLAY this host's address among the",
    'hosts, with how long their common prefix is: 172.30.1.27/16, or eth0/16 where eth0 has it. Its',
    "host bits, 1.27, name this host's slice: 250.1.27.0/24 of 250.0.0.0/8. Run it on every host. It",
    'makes a bridge with the first address of the slice; containers are attached to that, by fanway',
    'docker enable and the like. It stays until fanway down, or the machine restarts.',
  ],
  usage: [
    'up OVERLAY UNDERLAY [dhcp] [host-reserve N] [bridge NAME] [OPTIONS]',
    'up -u UNDERLAY -o OVERLAY [OPTIONS]',
    'up -a [--file FILE]',
  ],
  options: [
    ...FAN_OPTIONS,
    ...DATA_OPTIONS,
    ['--foreground', 'stay until SIGTERM or SIGINT, then take everything back'],
    ['--json', 'print the plan that was carried out'],
  ],
  examples: [
    ['fanway up 250.0.0.0/8 eth0/16', 'this host joins the fan 250.0.0.0/8'],
    ['fanway up 250.0.0.0/8 default/16 dhcp host-reserve 4', 'with DHCP, .1 to .4 kept'],
    ['fanway up -u 172.30.0.28/16 -o 250.0.0.0/8 --encap ipip', "fanctl's later form"],
    ['fanway up 250.0.0.0/8 eth0/112', 'over the IPv6 address of eth0'],
    [
      'fanway up 250.0.0.0/8 eth0/16 --device tap0',
      "an ordinary user's, on a device that root made",
    ],
    [
      'fanway up 250.0.0.0/8 eth0/16,eth1/16 --underlay-mode balance-xor',
      'over two networks at once, by flow',
    ],
    ['fanway up 240.0.0.0/8 eth0/24 --compat lxd', "beside hosts that run LXD's fan"],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '-a': 'switch',
      '--file': 'value',
      '--foreground': 'switch',
      '--json': 'switch',
      ...DATA_FLAGS,
    });
    const data = readDataOptions(flags);
    const requests = readRequests(rest, flags, io).filter(({ request }) => {
      if (request.off) io.out('off: known, and not brought up; leave `off` out to bring it up\n');
      return !request.off;
    });
    if (requests.length === 0) return ExitCode.Ok;
    // Root has made the device for whoever this is, and nothing else is changed.
    if (requests.some(({ request }) => request.device === undefined)) requireNetAdmin('up');
    const isOwn = !hasCapability('NET_ADMIN');
    const run = new RunDirectory(isOwn ? userRunDirectory(io.env) : io.env['FANWAY_RUN_DIR']);
    run.create();
    const lock = run.lock('lock', { wait: true });
    if (lock === undefined) return ExitCode.Failed;
    const free = run.lock('router.lock', { wait: false });
    let names: string[];
    if (free !== undefined) {
      await cleanUp(run, io);
      await checkAll(run, requests);
      if (flags.has('--foreground')) {
        await runForeground(run, lock, requests, flags, data, io);
        return ExitCode.Ok;
      }
      await startRouter(run, free, dataArguments(data));
      free.release();
    } else {
      await waitReady(run);
      await requireSame(run, data);
    }
    try {
      names = await askRouter(run, requests, flags, io);
    } catch (error) {
      // One that was started for nothing need not stay.
      await ask(run, endIfIdleCall, {}).catch(() => undefined);
      throw error;
    }
    lock.release();
    if (!flags.has('--foreground')) return ExitCode.Ok;
    // Another router carries the links; this process only stands for their life.
    await nextSignal();
    for (const name of names.reverse()) await ask(run, downCall, { name, force: true });
    return ExitCode.Ok;
  },
};
