/**
 * Ends bindings of MACs to ports where a MAC is not behind its port any more, so that it may show up behind
 * another one (change/kinds/firewall/bound.ts). What comes within a moment goes to the kernel in one go.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { releaseText } from '../../change/kinds/firewall/bound.ts';

/** A port that goes takes many MACs with it. */
const MOMENT_MS = 20;
/** In one go. */
const RELEASED_MAX = 1024;

export type BindingsOptions = {
  log: Log;
  loadRules: (text: string) => Promise<void>;
  /** Whether a link's MACs are bound to ports now. */
  isBound: (link: string) => boolean;
};

export class Bindings {
  readonly #options: BindingsOptions;
  /** By link, the MACs and the ports that they were behind. */
  readonly #waiting = new Map<string, { mac: number; port: number }[]>();
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(options: BindingsOptions) {
    this.#options = options;
  }

  /** @param port ifindex */
  release(link: string, mac: number, port: number): void {
    if (!this.#options.isBound(link)) return;
    const waiting = this.#waiting.get(link) ?? [];
    waiting.push({ mac, port });
    this.#waiting.set(link, waiting);
    this.#timer ??= setTimeout(() => this.#flush(), MOMENT_MS);
  }

  #flush(): void {
    this.#timer = undefined;
    for (const [link, waiting] of this.#waiting) {
      for (let at = 0; at < waiting.length; at += RELEASED_MAX) {
        const text = releaseText(link, waiting.slice(at, at + RELEASED_MAX));
        this.#last = this.#last.then(() => this.#load(link, text));
      }
    }
    this.#waiting.clear();
  }

  async #load(link: string, text: string): Promise<void> {
    try {
      if (this.#options.isBound(link)) await this.#options.loadRules(text);
    } catch (error) {
      // Somebody may have taken the table: with it the bindings are gone, and it is put back.
      this.#options.log.info(link, `end the binding of a MAC to its port: ${messageOf(error)}`);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting.clear();
  }
}
