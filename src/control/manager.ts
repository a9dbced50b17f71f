/**
 * The service manager as somebody who may be slow: what it does not take at once is kept, in
 * order, and offered again, while the router goes on with its work.
 * @module
 */
import { codeOf, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { notifyManager } from '../sys/sockets/notify.ts';

const AGAIN_MS = 100;
/** A reload makes two; beyond this the oldest is forgotten, as newer ones say more. */
const WAITING_MAX = 16;
/** Of these only the present one counts, and the next comes by itself. */
const BEAT = 'WATCHDOG=1';

export class Manager {
  readonly #log: Log;
  readonly #notify: (state: string) => boolean;
  #waiting: string[] = [];
  #isBehind = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param notify throws with code EAGAIN when the manager does not take it now. */
  constructor(log: Log, notify: (state: string) => boolean = notifyManager) {
    this.#log = log;
    this.#notify = notify;
  }

  /** Tells the manager, now or as soon as it listens. Never waits, never throws. */
  tell(state: string): void {
    if (state === BEAT && this.#waiting.length > 0) return;
    this.#waiting.push(state);
    if (this.#waiting.length > WAITING_MAX) this.#waiting.shift();
    if (this.#timer === undefined) this.#offer();
  }

  #offer(): void {
    this.#timer = undefined;
    for (let state = this.#waiting[0]; state !== undefined; state = this.#waiting[0]) {
      try {
        this.#notify(state);
      } catch (error) {
        if (codeOf(error) === 'EAGAIN') {
          if (!this.#isBehind) {
            this.#log.warn(
              'notify',
              'the service manager does not read what it is told: later again',
            );
          }
          this.#isBehind = true;
          if (state === BEAT) this.#waiting.shift();
          else {
            this.#timer = setTimeout(() => this.#offer(), AGAIN_MS);
            this.#timer.unref();
          }
          return;
        }
        this.#log.warn('notify', messageOf(error));
      }
      this.#waiting.shift();
      this.#isBehind = false;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
