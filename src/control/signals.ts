/**
 * What a router does when a signal comes.
 * @module
 */
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';

/** From now on signals stop the router, or have it read its configuration again. */
export function obeySignals(of: {
  log: Log;
  stop: () => Promise<void>;
  reload: (() => Promise<string>) | undefined;
  /** It runs in somebody's terminal. */
  isForeground: boolean;
}): void {
  const { log, stop, reload, isForeground } = of;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info('signal', `${signal}: taking everything down`);
      void stop();
    });
  }
  process.on('SIGHUP', () => {
    if (reload === undefined) {
      // The terminal of a router in the foreground was closed; one in the background has none.
      if (isForeground) void stop();
      return;
    }
    reload().then(
      (text) => log.info('reload', text),
      (error: unknown) => log.error('reload', messageOf(error)),
    );
  });
}
