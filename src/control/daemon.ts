/**
 * The router as a service: the links of one configuration, reloaded on SIGHUP, with a service
 * manager told when it is ready and that the data loops still move.
 * @module
 */

import { isDeepStrictEqual } from 'node:util';
import type { DataProcessStatus } from '../api/status.ts';
import { FAN_ROWS } from '../config/link/fan-rows.ts';
import { formatUnderlays } from '../config/link/underlays.ts';
import { NETWORK_ROWS } from '../config/network/rows.ts';
import type { Config } from '../config/parse.ts';
import { type FanRequest, joinFans } from '../config/request.ts';
import { followedFields } from '../config/row/row.ts';
import type { Log, LogLevel } from '../log.ts';
import { hasIpv4 } from '../net/fan.ts';
import { IDLE_BEAT_MS } from '../shm/layout.ts';
import { watchdogIntervalMs } from '../sys/sockets/notify.ts';
import type { AnyRecord, AnyRequest } from './host/snapshot.ts';
import { datapathOf } from './links/datapath/choose.ts';
import { isDual } from './links/six.ts';
import { Manager } from './manager.ts';
import { ControlService } from './service.ts';
import type { RunDirectory } from './store/run-directory.ts';

/** A loop may sleep through its turn for a moment on a busy machine. */
const IDLE_BEATS_MISSED = 2;
/** However short the manager's patience: a beat is a system call. */
const BEAT_MS_MIN = 20;

export type DaemonOptions = {
  run: RunDirectory;
  /** Reads and checks the file anew. @throws FanwayError listing every problem. */
  load: () => Config;
  log: Log;
  setLogLevel: (level: LogLevel) => void;
};

function linksText(count: number): string {
  return count === 1 ? '1 link' : `${count} links`;
}

/** Runs until SIGTERM or SIGINT has taken everything back. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { run, load, log, setLogLevel } = options;
  const manager = new Manager(log);
  let config = load();
  setLogLevel(config.logLevel);
  const service: ControlService = await ControlService.start({
    run,
    log,
    mode: 'daemon',
    queues: config.queues,
    busyPollUs: config.busyPollUs,
    priority: config.priority,
    wants: (link) => wanted(config, [link]).some((one) => isSameLink(one, link.request)),
    reload: async () => {
      manager.tell('RELOADING=1');
      try {
        const next = load();
        const text = await apply(service, next);
        if (next.queues !== config.queues) log.warn('reload', 'queues needs a restart');
        if (next.priority !== config.priority) log.warn('reload', 'priority needs a restart');
        if (next.busyPollUs !== config.busyPollUs) {
          log.warn('reload', 'busy-poll needs a restart');
        }
        config = next;
        setLogLevel(next.logLevel);
        return text;
      } finally {
        manager.tell('READY=1');
      }
    },
  });
  await apply(service, config);
  manager.tell(`READY=1\nSTATUS=${linksText(service.router.links.length)}`);
  const stopWatchdog = feedWatchdog(service, manager, log);
  await service.done;
  stopWatchdog();
  manager.close();
}

/**
 * Fans first: a network is where they are. A file says all of a link: a line that is not there means what holds
 * where nobody says, also of who forwards, which a command that does not say leaves as it is.
 * @param links what runs, and may have been joined on this host
 */
function wanted(config: Config, links: readonly AnyRecord[]): AnyRequest[] {
  const said = <T extends AnyRequest>(request: T): T => {
    return { ...request, datapath: datapathOf(request) };
  };
  const networks = config.networks.filter(({ off }) => !off).map(said);
  const fans = joinFans(config.fans.filter(({ off }) => !off)).map(said);
  return [...asJoined(fans, links), ...networks];
}

/**
 * An IPv6 fan on the bridge that an IPv4 one has by itself, which no file says, became one with it when it
 * came up (beside.ts): it is asked for in that way from then on.
 */
function asJoined(fans: readonly FanRequest[], links: readonly AnyRecord[]): FanRequest[] {
  const all = [...fans];
  for (const link of links) {
    if (!isDual(link)) continue;
    const { overlay6, ...ipv4 } = link.request;
    const fan = all.find((one) => isSameLink(one, ipv4));
    const six = all.find(
      (one) =>
        !hasIpv4(one.overlay) &&
        one.bridge === link.spec.name &&
        one.encap === ipv4.encap &&
        formatUnderlays(one) === formatUnderlays(ipv4) &&
        isDeepStrictEqual(one.overlay6, overlay6),
    );
    if (fan === undefined || six === undefined || overlay6 === undefined) continue;
    all[all.indexOf(fan)] = { ...fan, overlay6 };
    all.splice(all.indexOf(six), 1);
  }
  return all;
}

/** What a link that runs can follow. */
const LIVE = Object.fromEntries(
  [...followedFields(FAN_ROWS), ...followedFields(NETWORK_ROWS)].map((field) => [field, undefined]),
);

/** Whether two requests are for the same link, perhaps forwarded by somebody else or at another rate. */
function isSameLink(a: AnyRequest, b: AnyRequest): boolean {
  return isDeepStrictEqual({ ...a, ...LIVE }, { ...b, ...LIVE });
}

/** Has a running link become what is wanted of the same one now; false where it cannot. */
async function become({ router }: ControlService, to: AnyRequest): Promise<boolean> {
  const plan = await ('overlay' in to ? router.up(to) : router.addNetwork(to));
  return plan.outcome !== 'refused';
}

/** Makes the links those of the configuration; what did not change is not touched. */
async function apply(service: ControlService, config: Config): Promise<string> {
  const { router } = service;
  const links = wanted(
    config,
    router.links.map(({ record }) => record),
  );
  const has = (list: readonly AnyRequest[], link: AnyRequest): boolean =>
    list.some((other) => isDeepStrictEqual(other, link));
  const gone = router.links.filter((link) => !has(links, link.request));
  const running = router.links.map((link) => link.request);
  const fresh = links.filter((link) => !has(running, link));
  service.networks.policy.configure(config.policies);
  const asked = fresh.length;
  for (const link of gone) {
    const moved = fresh.findIndex((other) => isSameLink(other, link.request));
    const to = fresh[moved];
    // Its bridge, addresses and ports stay as they are; one that is stopped has none.
    if (to !== undefined && link.state === 'up' && (await become(service, to))) {
      fresh.splice(moved, 1);
    } else {
      await router.down(link.spec.name, { force: true });
    }
  }
  for (const link of fresh) await router.want(link);
  await service.gossip.configure(config.gossip);
  await service.bgp.configure(config.bgp);
  const moved = asked - fresh.length;
  const also = moved === 0 ? '' : `, ${moved} on another data path`;
  return `${linksText(gone.length - moved)} taken down, ${fresh.length} brought up${also}`;
}

/**
 * Whether the data loops move. An idle one turns once in {@link IDLE_BEAT_MS}, whatever the manager
 * wants to hear, so a loop counts as moving for a while after each turn.
 */
export class LoopWatch {
  readonly #movedMs = new Map<number, { heartbeat: number; atMs: number }>();

  /** True when every data process lives and has turned its loop within `graceMs`. */
  look(now: readonly DataProcessStatus[], nowMs: number, graceMs: number): boolean {
    for (const pid of this.#movedMs.keys()) {
      if (!now.some((process) => process.pid === pid)) this.#movedMs.delete(pid);
    }
    let moving = true;
    for (const { pid, alive, heartbeat } of now) {
      const known = this.#movedMs.get(pid);
      const stood = known?.heartbeat === heartbeat;
      if (!stood) this.#movedMs.set(pid, { heartbeat, atMs: nowMs });
      if (!alive || (stood && nowMs - known.atMs > graceMs)) moving = false;
    }
    return moving;
  }
}

/** Feeds the watchdog only while the data loops move; returns how to stop. */
function feedWatchdog(service: ControlService, manager: Manager, log: Log): () => void {
  const intervalMs = watchdogIntervalMs();
  if (intervalMs === 0) return () => undefined;
  const watch = new LoopWatch();
  const graceMs = Math.max(intervalMs / 3, IDLE_BEATS_MISSED * IDLE_BEAT_MS);
  const beat = (): void => {
    if (watch.look(service.tunnels.status(), performance.now(), graceMs)) {
      manager.tell('WATCHDOG=1');
    } else {
      log.error('watchdog', 'a data loop stands still: the service manager is not told we live');
    }
  };
  // The manager counts from the start, whenever we begin.
  beat();
  const timer = setInterval(beat, Math.max(intervalMs / 3, BEAT_MS_MIN));
  return () => clearInterval(timer);
}
