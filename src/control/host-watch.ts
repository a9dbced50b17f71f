/**
 * The kernel's news of the host, gathered until they have settled, for the router to look at its links.
 * @module
 */
import type { RealHost } from './host/real-host.ts';
import type { Router } from './links/router.ts';

/** Events come in bursts: look once they have settled. */
const SETTLE_MS = 200;
/** Without its programs a device of ours carries nothing: that is looked at at once. */
const HOOK_SETTLE_MS = 10;
/** Some hosts change firewall rules all the time (fail2ban, kube-proxy): once a second is enough. */
const FILTER_SETTLE_MS = 1000;

export class HostWatch {
  readonly #router: Pick<Router, 'note' | 'scheduleReconcile'>;
  readonly #ends: (() => void)[];
  #settle: NodeJS.Timeout | undefined;

  /** Watches from now on. */
  constructor(
    host: Pick<RealHost, 'watch' | 'watchFilter'>,
    router: Pick<Router, 'note' | 'scheduleReconcile'>,
  ) {
    this.#router = router;
    this.#ends = [
      host.watch((event) => {
        if (!router.note(event)) return;
        this.#look(event.kind === 'hook' ? HOOK_SETTLE_MS : SETTLE_MS);
      }),
      host.watchFilter(() => {
        // Rules may be about any link.
        router.note({ kind: 'lost', code: '' });
        this.#look(FILTER_SETTLE_MS);
      }),
    ];
  }

  #look(ms: number): void {
    this.#settle ??= setTimeout(() => {
      this.#settle = undefined;
      this.#router.scheduleReconcile('noted');
    }, ms);
  }

  stop(): void {
    clearTimeout(this.#settle);
    for (const end of this.#ends) end();
  }
}
