/**
 * What the bridges of fans are asked again and again: where MACs are that others claim, and whose
 * addresses are wrong.
 * @module
 */

import { messageOf } from '../../../errors.ts';
import { Beat } from '../../../sys/process/beat.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import { MovedMacs, type MovedMacsOptions } from '../moved-macs.ts';
import { ForeignSources, type ForeignSourcesOptions } from './foreign-sources.ts';

const LOOK_MS = 1000;

export class BridgeWatch {
  readonly #options: MovedMacsOptions & ForeignSourcesOptions;
  readonly #movedMacs: MovedMacs;
  readonly #foreign: ForeignSources;
  #beat: Beat | undefined;
  #busy = false;

  constructor(options: MovedMacsOptions & ForeignSourcesOptions) {
    this.#options = options;
    this.#movedMacs = new MovedMacs(options);
    this.#foreign = new ForeignSources(options);
  }

  start(): void {
    this.#movedMacs.start();
    this.#beat ??= new Beat(LOOK_MS, () => void this.#look()).unref();
  }

  stop(): void {
    this.#movedMacs.stop();
    this.#beat?.close();
    this.#beat = undefined;
    this.#foreign.close();
  }

  async #look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#foreign.look(this.#options.specs(), performance.now());
    } catch (error) {
      this.#options.log.warn('bridge', messageOf(error));
    } finally {
      this.#busy = false;
    }
  }

  /** Who sends with a foreign address on a link, for a sentence; '' when nobody is known. */
  foreignOn(spec: LinkSpec): string {
    return this.#foreign.textOf(spec);
  }
}
