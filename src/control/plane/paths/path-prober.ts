/**
 * How large a packet gets to a host that says nothing of itself: echo requests of known sizes with
 * "don't fragment", and what is answered (RFC 8899 in its manner: a base that must be confirmed, a
 * search, a size that is confirmed again, and a look from time to time). A host that answers no echo
 * request of the base size teaches nothing, and nothing is concluded.
 *
 * Pure: time, randomness and the way out come in.
 * @module
 */
import type { UnderlayAddress } from '../../../net/underlay-address.ts';

/** Every path that is worth a tunnel carries this, bytes (RFC 8899 §5.1.2: BASE_PLPMTU). */
export const BASE_BYTES = 1200;
/** A request is answered within this, ms. */
export const ANSWER_MS = 500;
/** Unanswered requests of one size that count as too large (RFC 8899 §5.1.2: MAX_PROBES). */
export const TRIES = 3;
/** The search ends when it knows the size to this, bytes. */
const STEP_BYTES = 8;
/** A lowered path is looked at again after this, ms (RFC 8899 §5.1.1: PMTU_RAISE_TIMER). */
const RAISE_MS = 600_000;
/** A path that carries all, or a host that is silent, the first time after this; then twice, … */
const AGAIN_MS = 60_000;
/** Hosts that are looked at; more wait until one is forgotten. */
export const PROBED_MAX = 256;
/** Requests in one step. */
const SENDS_MAX = 32;
/** A host that no large packet goes to any more is forgotten after this, ms. */
const FORGET_MS = 900_000;
/** What most networks without jumbo frames have: tried first. */
const USUAL_BYTES = 1500;
/** Of the sizes that are left, how many lie above the one that is tried. */
const ABOVE_PART = 2 / 3;
/** MTUs that networks have, the largest first: tried before any other. */
const COMMON = [
  9000,
  8500,
  4000,
  USUAL_BYTES,
  1492,
  1480,
  1460,
  1450,
  1440,
  1420,
  1400,
  1380,
  1280,
];

/** Sends an echo request of `bytes` (IP length) that carries `token`; false: the host refuses it. */
export type SendProbe = (peer: UnderlayAddress, bytes: number, token: string) => boolean;

export type ProbeState = 'searching' | 'full' | 'limited' | 'silent';

/** What one host's path has shown. Sizes are of IP packets, bytes. */
type Probed = {
  deviceMtu: number;
  state: ProbeState;
  /** What the last finished search found; 0 = no limit known. */
  limit: number;
  /** Answered, and not answered, in the search in hand. */
  low: number;
  high: number;
  size: number;
  confirming: boolean;
  tries: number;
  token: string;
  sentAtMs: number;
  /** When the next search begins. */
  nextAtMs: number;
  againMs: number;
  wantedAtMs: number;
};

export class PathProber {
  readonly #send: SendProbe;
  readonly #token: () => string;
  readonly #probed = new Map<UnderlayAddress, Probed>();
  readonly #byToken = new Map<string, UnderlayAddress>();

  /** @param token a new secret for each request, so that nobody but who sees it can answer */
  constructor(options: { send: SendProbe; token: () => string }) {
    this.#send = options.send;
    this.#token = options.token;
  }

  /** Largest packets of the hosts whose path carries less than their device. */
  limits(): Map<UnderlayAddress, number> {
    const limited = [...this.#probed].filter(([, { limit }]) => limit !== 0);
    return new Map(limited.map(([peer, { limit }]) => [peer, limit]));
  }

  state(peer: UnderlayAddress): ProbeState | undefined {
    return this.#probed.get(peer)?.state;
  }

  /** Hosts that large packets go to now, each with the MTU of our device; sends what is due. */
  step(wanted: ReadonlyMap<UnderlayAddress, number>, nowMs: number): void {
    for (const [peer, deviceMtu] of wanted) this.#want(peer, deviceMtu, nowMs);
    let sends = 0;
    for (const [peer, probed] of this.#probed) {
      if (nowMs - probed.wantedAtMs > FORGET_MS) {
        this.#forgetToken(probed);
        this.#probed.delete(peer);
      } else if (sends < SENDS_MAX && this.#isDue(probed, wanted.has(peer), nowMs)) {
        sends++;
        this.#next(peer, probed, nowMs);
      }
    }
  }

  #want(peer: UnderlayAddress, deviceMtu: number, nowMs: number): void {
    const known = this.#probed.get(peer);
    if (known !== undefined && known.deviceMtu === deviceMtu) {
      known.wantedAtMs = nowMs;
      return;
    }
    if (deviceMtu <= BASE_BYTES || (known === undefined && this.#probed.size >= PROBED_MAX)) return;
    if (known !== undefined) this.#forgetToken(known);
    this.#probed.set(peer, {
      ...{ deviceMtu, state: 'searching', limit: 0, low: 0, high: 0, size: 0, confirming: false },
      ...{ tries: 0, token: '', sentAtMs: 0, nextAtMs: nowMs, againMs: AGAIN_MS },
      wantedAtMs: nowMs,
    });
  }

  #isDue(probed: Probed, wanted: boolean, nowMs: number): boolean {
    if (probed.token !== '') return nowMs - probed.sentAtMs >= ANSWER_MS;
    return probed.size !== 0 || (wanted && nowMs >= probed.nextAtMs);
  }

  /** A search begins, goes on, or its last request was not answered. */
  #next(peer: UnderlayAddress, probed: Probed, nowMs: number): void {
    if (probed.size === 0) {
      Object.assign(probed, { low: 0, high: probed.deviceMtu + 1, size: BASE_BYTES, tries: 0 });
      probed.confirming = false;
    } else if (probed.token !== '') {
      this.#forgetToken(probed);
      if (++probed.tries >= TRIES && !this.#tooLarge(probed, nowMs)) return;
    }
    const token = this.#token();
    if (!this.#send(peer, probed.size, token)) {
      // Our own host refuses it: that is an answer too.
      if (this.#tooLarge(probed, nowMs)) probed.tries = 0;
      return;
    }
    probed.token = token;
    probed.sentAtMs = nowMs;
    this.#byToken.set(token, peer);
  }

  /** An echo reply that carries `token` has come. */
  answered(token: string, nowMs: number): void {
    const peer = this.#byToken.get(token);
    const probed = peer === undefined ? undefined : this.#probed.get(peer);
    if (probed === undefined) return;
    this.#forgetToken(probed);
    probed.tries = 0;
    if (probed.confirming) return this.#finish(probed, nowMs);
    probed.low = probed.size;
    // Until more is known, what gets through is better than what does not.
    const { low, high, limit, deviceMtu } = probed;
    if (high <= deviceMtu && (limit === 0 || low > limit || high <= limit)) probed.limit = low;
    this.#choose(probed, nowMs);
  }

  /** The size in hand is not answered; whether the search goes on. */
  #tooLarge(probed: Probed, nowMs: number): boolean {
    probed.tries = 0;
    if (probed.size === BASE_BYTES || probed.confirming) {
      // No answer to what must get through: it is not the size.
      this.#rest(probed, 'silent', nowMs);
      return false;
    }
    probed.high = probed.size;
    this.#choose(probed, nowMs);
    return probed.size !== 0;
  }

  #choose(probed: Probed, nowMs: number): void {
    const { low, high, deviceMtu } = probed;
    if (low === deviceMtu) return this.#finish(probed, nowMs);
    if (high > deviceMtu) probed.size = deviceMtu;
    else if (high - low <= STEP_BYTES) {
      probed.size = low;
      probed.confirming = true;
    } else probed.size = between(low, high);
  }

  #finish(probed: Probed, nowMs: number): void {
    const isFull = probed.low === probed.deviceMtu;
    probed.limit = isFull ? 0 : probed.low;
    this.#rest(probed, isFull ? 'full' : 'limited', nowMs);
  }

  #rest(probed: Probed, state: ProbeState, nowMs: number): void {
    if (state !== probed.state) probed.againMs = AGAIN_MS;
    probed.state = state;
    probed.size = 0;
    probed.nextAtMs = nowMs + (state === 'limited' ? RAISE_MS : probed.againMs);
    probed.againMs = Math.min(probed.againMs * 2, RAISE_MS);
  }

  #forgetToken(probed: Probed): void {
    this.#byToken.delete(probed.token);
    probed.token = '';
  }
}

/**
 * The next size to try: of those that networks have, the one that halves what is left, then just above what was
 * answered, then the middle. A size that gets through is known at once, one that does not only after
 * {@link TRIES}: so more of them lie above the one that is tried.
 */
function between(low: number, high: number): number {
  if (low < USUAL_BYTES && high > USUAL_BYTES) return USUAL_BYTES;
  const left = COMMON.filter((size) => size > low && size < high);
  const next = left[Math.floor(left.length * ABOVE_PART)];
  if (next !== undefined) return next;
  return COMMON.includes(low) ? low + STEP_BYTES : Math.floor(high - (high - low) * ABOVE_PART);
}
