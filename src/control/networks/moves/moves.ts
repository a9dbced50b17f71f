/**
 * What becomes of MACs that are at two hosts: the one that sees it asks, the one that has it answers.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { WitnessEvent } from '../../../gossip/base/api.ts';
import type { Log } from '../../../log.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Best, EntryId, RibChange } from '../../../rib/entry.ts';
import type { NetworkHost } from '../../host/host.ts';
import type { LocalNetwork } from '../local/local-network.ts';
import { type Conflict, Contests, type WitnessSpeaker } from './contests.ts';
import { Witness } from './witness.ts';

export type MovesOptions = {
  host: () => NetworkHost;
  log: Log;
  local: (link: string) => LocalNetwork | undefined;
  best: (id: EntryId) => Best | undefined;
  note: (link: string, mac: number, text: string) => void;
};

export class MoveClaims {
  readonly #options: MovesOptions;
  readonly #contests: Contests;
  readonly #witness: Witness;

  constructor(options: MovesOptions) {
    const { best, log, note } = options;
    this.#options = options;
    this.#contests = new Contests({ best, log, note, nowMs: () => performance.now() });
    this.#witness = new Witness(options.host);
  }

  /** Who asks other hosts from now on. */
  by(speaker: WitnessSpeaker): void {
    this.#contests.speaker = speaker;
  }

  conflicts(link: string): Conflict[] {
    return this.#contests.of(link);
  }

  /** Whether a MAC that is seen here has moved; undefined = there is nobody to ask. */
  hasMoved(link: string, vni: number, mac: number): Promise<boolean> | undefined {
    return this.#contests.ask(link, vni, mac);
  }

  /** Another host asks, or answers. */
  heard(link: string, { host, from, vni, mac, isHere }: WitnessEvent & Place): void {
    if (isHere !== undefined) return this.#contests.answered(link, from, mac, isHere);
    const local = this.#options.local(link);
    if (local === undefined) return;
    const answer = async (): Promise<void> => {
      const isOurs = await this.#witness.isHere(local, mac);
      if (isOurs) this.#contests.conflict(link, mac, host);
      this.#contests.speaker?.testify(vni, from, mac, isOurs);
    };
    answer().catch((error: unknown) => this.#options.log.warn(link, messageOf(error)));
  }

  /** What counts has changed: what nobody has any more is whose it is seen with. */
  note(changes: readonly RibChange[]): void {
    for (const { id, after } of changes) {
      if (id.kind !== 'mac' || after !== undefined) continue;
      const { link, mac } = id;
      if (this.#contests.left(link, mac)) this.#options.local(link)?.seen(mac, undefined);
    }
  }

  /** Looks again at what is here and there. */
  round(): void {
    for (const { link, mac } of this.#contests.due())
      this.#options.local(link)?.seen(mac, undefined);
  }

  close(): void {
    this.#contests.close();
  }
}

/** Where a member is. */
type Place = { host: UnderlayAddress };
