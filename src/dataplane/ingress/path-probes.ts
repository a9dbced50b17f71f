/**
 * Answers the questions of a link's peers whether they are heard on the underlay that they asked by
 * (wire/lan/path-probe.ts): at once, from the address and port that were asked, to whoever of them asked.
 * A stranger's question never comes this far, and an answer is as long as its question.
 * @module
 */
import { eventIndex, ingressIndex } from '../../table/counters.ts';
import { answerPathProbe, ProbeKind, pathProbeKind } from '../../wire/lan/path-probe.ts';
import { type Arena, IOVEC_BYTES, MMSGHDR_BYTES, MSGHDR } from '../ground/arena.ts';
import { Bucket } from '../ground/bucket.ts';
import type { DataLink } from '../ground/link.ts';
import { sockaddrBytes } from '../ground/sockaddr.ts';
import type { TrainTests } from '../learn/train-tests.ts';
import type { Arrival } from '../packet/arrival.ts';

/** Answers a second, of all links: a thousand peers that ask as fast as they do about two underlays. */
const ANSWERS_PER_SECOND = 20_000;
/** The first send may tell of an ICMP error that is another's. */
const SENDS_MAX = 2;

const MALFORMED = ingressIndex('drop.malformed');
const PATH_PROBE = ingressIndex('drop.path_probe');
const ANSWERED = eventIndex('path_probes_answered');
const LIMITED = eventIndex('path_probes_limited');

export class PathProbes {
  readonly #arena: Arena;
  readonly #bucket = new Bucket(ANSWERS_PER_SECOND);
  readonly #message: number;
  readonly #iovec: number;
  /** Takes trains that members send each other to see what the way does to them. */
  trainTests: TrainTests | undefined;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#message = arena.allocate(MMSGHDR_BYTES);
    this.#iovec = arena.allocate(IOVEC_BYTES);
    arena.writePointer(this.#message + MSGHDR.IOV, this.#iovec);
    arena.view.setUint32(this.#message + MSGHDR.IOV_LENGTH, 1, true);
  }

  /**
   * Takes the probe in hand, which has passed the link's checks; what is answered goes to its source as it
   * came, by the underlay that was asked by.
   */
  take(link: DataLink, arrival: Arrival): void {
    const { view } = this.#arena;
    const { frame, source, nowMs } = arrival;
    const length = arrival.end - frame;
    const { endpoint = link.endpoint } = arrival;
    const isTest =
      !endpoint.isRaw && this.trainTests?.take(link, view, frame, length, source, nowMs);
    if (isTest === true) return;
    const { counters } = link;
    const kind = pathProbeKind(view, frame, length);
    const counter = kind === ProbeKind.None ? MALFORMED : PATH_PROBE;
    counters[counter] = (counters[counter] as number) + 1;
    if (kind !== ProbeKind.Question) return;
    if (!this.#bucket.take(nowMs)) {
      counters[LIMITED] = (counters[LIMITED] as number) + 1;
      return;
    }
    answerPathProbe(view, frame);
    const start = frame - link.shimBytes;
    this.#arena.writeIovec(this.#iovec, start, length + link.shimBytes);
    this.#arena.writePointer(this.#message + MSGHDR.NAME, source);
    view.setUint32(this.#message + MSGHDR.NAME_LENGTH, sockaddrBytes(view, source), true);
    for (let sends = 0; sends < SENDS_MAX; sends++) {
      if (endpoint.underlay.send(endpoint.sockets[0] as number, this.#message, 1) !== 1) continue;
      counters[ANSWERED] = (counters[ANSWERED] as number) + 1;
      return;
    }
  }
}
