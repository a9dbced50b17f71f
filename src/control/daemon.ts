/**
 * The router as a service: the links of one configuration, reloaded on SIGHUP, with a service
 * manager told when it is ready and that the data loops still move.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/parse.ts';
import type { FanRequest } from '../config/request.ts';
import { messageOf } from '../errors.ts';
import type { Log, LogLevel } from '../log.ts';
import { notifyManager, watchdogIntervalMs } from '../sys/notify.ts';
import type { RunDirectory } from './run-directory.ts';
import { Service } from './service.ts';
import type { DataProcessStatus } from './tunnel-set.ts';

export type DaemonOptions = {
  run: RunDirectory;
  /** Reads and checks the file anew. @throws FanwayError listing every problem. */
  load: () => Config;
  log: Log;
  setLogLevel: (level: LogLevel) => void;
};

/** Runs until SIGTERM or SIGINT has taken everything back. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { run, load, log, setLogLevel } = options;
  let config = load();
  setLogLevel(config.logLevel);
  const service: Service = await Service.start({
    run,
    log,
    mode: 'daemon',
    queues: config.queues,
    busyPollUs: config.busyPollUs,
    wants: (request) => wanted(config).some((fan) => isDeepStrictEqual(fan, request)),
    reload: async () => {
      tell('RELOADING=1', log);
      try {
        const next = load();
        const text = await apply(service, next);
        if (next.queues !== config.queues) log.warn('reload', 'queues needs a restart');
        if (next.busyPollUs !== config.busyPollUs) {
          log.warn('reload', 'busy-poll needs a restart');
        }
        config = next;
        setLogLevel(next.logLevel);
        return text;
      } finally {
        tell('READY=1', log);
      }
    },
  });
  await apply(service, config);
  tell(`READY=1\nSTATUS=${service.router.links.length} links`, log);
  const stopWatchdog = feedWatchdog(service, log);
  await service.done;
  stopWatchdog();
}

function wanted(config: Config): FanRequest[] {
  return config.fans.filter((fan) => !fan.off);
}

/** Makes the links those of the configuration; what did not change is not touched. */
async function apply(service: Service, config: Config): Promise<string> {
  const { router } = service;
  const fans = wanted(config);
  const has = (list: readonly FanRequest[], fan: FanRequest): boolean =>
    list.some((other) => isDeepStrictEqual(other, fan));
  const gone = router.links.filter((link) => !has(fans, link.request));
  const running = router.links.map((link) => link.request);
  const fresh = fans.filter((fan) => !has(running, fan));
  for (const link of gone) await router.down(link.spec.name, { force: true });
  for (const fan of fresh) await router.want(fan);
  await service.gossip.configure(config.gossip);
  return `${gone.length} links taken down, ${fresh.length} brought up`;
}

function tell(state: string, log: Log): void {
  try {
    notifyManager(state);
  } catch (error) {
    log.warn('notify', messageOf(error));
  }
}

/** True when every data process has turned its loop since `before`. */
export function haveMoved(
  before: ReadonlyMap<number, number>,
  now: readonly DataProcessStatus[],
): boolean {
  return now.every((process) => process.alive && before.get(process.pid) !== process.heartbeat);
}

/** Feeds the watchdog only while the data loops move; returns how to stop. */
function feedWatchdog(service: Service, log: Log): () => void {
  const intervalMs = watchdogIntervalMs();
  if (intervalMs === 0) return () => undefined;
  let before = new Map<number, number>();
  const timer = setInterval(() => {
    const now = service.tunnels.status();
    if (haveMoved(before, now)) tell('WATCHDOG=1', log);
    else log.error('watchdog', 'a data loop stands still: the service manager is not told we live');
    before = new Map(now.map((process) => [process.pid, process.heartbeat]));
  }, intervalMs / 3);
  return () => clearInterval(timer);
}
