/**
 * Trains of datagrams that prove themselves: a card, or the hypervisor below, may damage what it cuts
 * although the send succeeded (Linux 7.0.0 to 7.1.4 does with datagrams of one length). So each peer that
 * trains go to gets some of known content, and says over the gossip channel what came whole; a shape that
 * came damaged is not used towards it.
 *
 * Time, randomness and the ways out come in.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { type TrainProof, TrainUse } from '../../../table/links/path-limits.ts';
import { TrainShape } from '../../../wire/lan/train-test.ts';
import type { TrainCounts } from './train-ledger.ts';

/** A shape counts as damaged when this many tests in a row show it; one may be loss. */
const ATTEMPTS = 3;
/** How long a test may take to get there before the peer is asked, ms; and each time it is asked again. */
const ARRIVE_MS = [60, 150, 300] as const;
/** What is well is tested again after this, what is damaged after a day, ms. */
const WELL_MS = 600_000;
const DAMAGED_MS = 86_400_000;
/** What said nothing is tested again after this, ms; then twice, … */
const SILENT_MS = 5000;
/** Who cannot answer, or cannot be sent to, after this. */
const UNABLE_MS = 3_600_000;
/** Tests at one time, and peers that are remembered. */
const RUNNING_MAX = 4;
const PEERS_MAX = 1024;

/** A peer that trains go to. */
export type TrainAim = {
  peer: UnderlayAddress;
  /** As gossip names the member there. */
  member: string;
  /** Another one says that the way there has changed. */
  way: string;
};

/** How many datagrams of each shape were sent. */
export type TrainsSent = Readonly<Record<TrainShape, number>>;

export type TrainProofsOptions = {
  /** Sends a test; undefined where this host cannot. */
  send(aim: TrainAim, token: Buffer): TrainsSent | undefined;
  /** What has come to a member of all tests. @throws Error where it does not say */
  ask(member: string): Promise<TrainCounts>;
  token(): Buffer;
  wait(ms: number): Promise<void>;
  now(): number;
  /** Something else than before is known of a peer. */
  told(text: string): void;
};

type Known = TrainProof & { way: string; nextAtMs: number; isTested: boolean; againMs: number };

const USE_TEXT: Readonly<Record<TrainUse, string>> = {
  [TrainUse.Any]: 'trains of datagrams arrive whole',
  [TrainUse.Uneven]:
    'trains of datagrams of one length arrive damaged: those sent there end in a shorter one from now on',
  [TrainUse.None]: 'trains of datagrams arrive damaged: datagrams go there one by one from now on',
};

export class TrainProofs {
  readonly #options: TrainProofsOptions;
  readonly #known = new Map<UnderlayAddress, Known>();
  readonly #running = new Set<UnderlayAddress>();

  constructor(options: TrainProofsOptions) {
    this.#options = options;
  }

  /** What is known of a peer; undefined = it was not tested. */
  of(peer: UnderlayAddress): TrainProof | undefined {
    const known = this.#known.get(peer);
    return known?.isTested === true ? known : undefined;
  }

  /** Peers that not all trains get to. */
  limits(): Map<UnderlayAddress, TrainUse> {
    const limited = [...this.#known].filter(([, { use }]) => use !== TrainUse.Any);
    return new Map(limited.map(([peer, { use }]) => [peer, use]));
  }

  /** Tests what is due of the peers that trains go to now. */
  step(aims: readonly TrainAim[]): void {
    const nowMs = this.#options.now();
    for (const aim of aims) {
      if (this.#running.size >= RUNNING_MAX) return;
      if (this.#running.has(aim.peer) || !this.#isDue(aim, nowMs)) continue;
      this.#running.add(aim.peer);
      void this.#test(aim).finally(() => this.#running.delete(aim.peer));
    }
  }

  #isDue({ peer, way }: TrainAim, nowMs: number): boolean {
    const known = this.#known.get(peer);
    return known === undefined || known.way !== way || nowMs >= known.nextAtMs;
  }

  async #test(aim: TrainAim): Promise<void> {
    let [even, uneven, heard] = [false, false, false];
    for (let attempt = 0; attempt < ATTEMPTS && !even; attempt++) {
      const token = this.#options.token();
      const sent = this.#options.send(aim, token);
      if (sent === undefined) return this.#later(aim, UNABLE_MS);
      let got: readonly number[] | undefined;
      try {
        got = await this.#arrived(aim, token.toString('hex'), sent);
      } catch {
        // A member of an older build, or one that is on its way out.
        return this.#later(aim, UNABLE_MS);
      }
      // Where datagrams on their own get lost, nothing is said about trains.
      if (got === undefined) return this.#silent(aim);
      heard = true;
      even = got[TrainShape.Equal] === sent[TrainShape.Equal];
      uneven ||= got[TrainShape.Uneven] === sent[TrainShape.Uneven];
    }
    if (heard) this.#learn(aim, even ? TrainUse.Any : uneven ? TrainUse.Uneven : TrainUse.None);
  }

  /** What came of a test, once all that was sent last has come: nothing is on its way any more. */
  async #arrived(
    { member }: TrainAim,
    token: string,
    sent: TrainsSent,
  ): Promise<readonly number[] | undefined> {
    for (const ms of ARRIVE_MS) {
      await this.#options.wait(ms);
      const got = (await this.#options.ask(member))[token];
      if (got?.[TrainShape.Single] === sent[TrainShape.Single]) return got;
    }
    return undefined;
  }

  #silent(aim: TrainAim): void {
    const { againMs = SILENT_MS } = this.#known.get(aim.peer) ?? {};
    this.#later(aim, againMs, Math.min(againMs * 2, WELL_MS));
  }

  #later({ peer, way }: TrainAim, ms: number, againMs = SILENT_MS): void {
    const { use, sinceMs, isTested } = this.#known.get(peer) ?? {
      ...{ use: TrainUse.Any, sinceMs: 0, isTested: false },
    };
    const nextAtMs = this.#options.now() + ms;
    this.#keep(peer, { use, sinceMs, isTested, way, nextAtMs, againMs });
  }

  #learn({ peer, way }: TrainAim, use: TrainUse): void {
    const before = this.#known.get(peer);
    const isNews = (before?.use ?? TrainUse.Any) !== use;
    if (isNews) this.#options.told(`${formatHostAddress(peer)}: ${USE_TEXT[use]}`);
    this.#keep(peer, {
      ...{ use, way, isTested: true, againMs: SILENT_MS },
      sinceMs: isNews || before?.isTested !== true ? Date.now() : before.sinceMs,
      nextAtMs: this.#options.now() + (use === TrainUse.Any ? WELL_MS : DAMAGED_MS),
    });
  }

  #keep(peer: UnderlayAddress, known: Known): void {
    this.#known.delete(peer);
    this.#known.set(peer, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > PEERS_MAX && oldest !== undefined) this.#known.delete(oldest);
  }
}
