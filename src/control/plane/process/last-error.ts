/**
 * What went wrong with a data process last, and how long ago: an error that is over must not look like one
 * that lasts.
 * @module
 */
import { ERROR_SITE_NAMES, type WorkerStatus } from '../../../shm/worker.ts';
import { errnoName } from '../../../sys/libc/libc.ts';

export class LastError {
  readonly #nowMs: () => number;
  #message = '';
  #atMs = 0;
  /** Errors that the process had counted when it was looked at last. */
  #counted = 0;

  /** @param nowMs milliseconds on a clock that nobody sets */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** It ended, or could not be started. */
  note(message: string): void {
    this.#message = message;
    this.#atMs = this.#nowMs();
  }

  /** Looks whether calls of its loop have failed since the last look. */
  look({ errno, errorSite, errorCount }: WorkerStatus): void {
    if (errorCount === this.#counted) return;
    this.#counted = errorCount;
    if (errno !== 0) this.note(`${ERROR_SITE_NAMES[errorSite] ?? ''}: ${errnoName(errno)}`);
  }

  /** `device read: EBADFD, 42 s ago`; '' where nothing ever went wrong. */
  get text(): string {
    if (this.#message === '') return '';
    return `${this.#message}, ${Math.round((this.#nowMs() - this.#atMs) / 1000)} s ago`;
  }
}
