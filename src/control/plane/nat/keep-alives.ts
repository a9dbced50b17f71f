/**
 * What a host behind a NAT does to be reached: it asks each member of its fan for a seat (seat-book.ts),
 * and then sends it a keep-alive in good time, by the tunnel's own port. The answer tells how it is seen.
 * Without answers it asks anew: the other side has started again, or does not let it in any more.
 *
 * Pure: time and the ways out come in.
 * @module
 */

import { messageOf } from '../../../errors.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import { isActive } from '../../../gossip/members/members.ts';
import { equals, formatPrefix } from '../../../net/prefix.ts';
import { holdsHost } from '../../../net/underlay-address.ts';
import { EventKind, type LinkEvent } from '../../../table/events.ts';
import { KeepAliveKind } from '../../../wire/lan/keep-alive.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import { readSeatAnswer, type SeatQuestion, type SendFrom } from './seat-book.ts';
import { heardOf, isAuthentic, sealed } from './tag.ts';

/** One that is not answered is followed by the next one after this, ms. */
const AGAIN_MS = 1000;
/** So many without an answer: the seat is no good any more. */
const UNANSWERED_MAX = 3;
const SILENT = 'it does not answer';
/**
 * A member that refused, or could not be asked, is asked again after this, and after twice as long each time, ms:
 * a fan that comes up is told of before it is there, and we are known there only a moment later.
 */
const ASK_AGAIN_MS = 1000;
const ASK_AGAIN_MS_MAX = 10_000;

export type KeepAlivesOptions = {
  /** Fans that are up. */
  specs: () => readonly LinkSpec[];
  members: () => readonly MemberView[];
  /** Asks a member for a seat; its answer as JSON. @throws Error */
  ask: (member: string, about: string) => Promise<string>;
  send: SendFrom;
  /** Monotonic, ms. */
  now: () => number;
};

type Aim = {
  link: string;
  vni: number;
  port: number;
  peer: number;
  name: string;
  /** Of the member's life: another one knows nothing of what the last one said. */
  epoch: number;
  /** Of what it says of itself; with another one its fan may have gone and come, and our seat with it. */
  sequence: number;
  /** undefined = it has to be asked. */
  seat: { number: number; secret: Uint8Array } | undefined;
  isAsking: boolean;
  askMs: number;
  /** How often in turn it was asked for nothing. */
  askedInVain: number;
  /** Of the last keep-alive, 0 = none; when it was sent, and how many in turn were not answered. */
  number: number;
  sentMs: number;
  unanswered: number;
  /** How we are seen there; port 0 = not known. */
  seenAddress: number;
  seenPort: number;
  answeredMs: number;
  /** Why we have no seat there. */
  reason: string;
};

/** A member that this host keeps a way open to, as `status` has it; port 0 = it has not answered. */
export type KeepAliveView = {
  peer: number;
  name: string;
  address: number;
  port: number;
  answeredMs: number;
  reason: string;
};

export class KeepAlives {
  readonly #options: KeepAlivesOptions;
  /** By link and member. */
  readonly #aims = new Map<string, Aim>();

  constructor(options: KeepAlivesOptions) {
    this.#options = options;
  }

  /** Asks and sends what is due. */
  look(): void {
    const specs = this.#options.specs().filter(({ nat }) => (nat?.keepAliveSeconds ?? 0) > 0);
    const wanted = new Set<string>();
    for (const spec of specs) {
      for (const member of this.#options.members()) {
        const peer = peerIn(spec, member);
        if (peer === undefined) continue;
        const key = `${spec.name} ${member.id}`;
        wanted.add(key);
        this.#serve(spec, member, this.#aimOf(key, spec, member, peer));
      }
    }
    for (const key of this.#aims.keys()) if (!wanted.has(key)) this.#aims.delete(key);
  }

  #aimOf(key: string, { name: link, vni, port }: LinkSpec, member: MemberView, peer: number): Aim {
    const { epoch, sequence, name } = member;
    const known = this.#aims.get(key);
    const isSame = known?.epoch === epoch && known.peer === peer && known.port === port;
    if (known !== undefined && isSame && known.vni === vni) return known;
    const aim: Aim = {
      ...{ link, vni, port, peer, name, epoch, sequence },
      ...{ seat: undefined, isAsking: false, askMs: 0, askedInVain: 0 },
      ...{
        number: 0,
        sentMs: 0,
        unanswered: 0,
        seenAddress: 0,
        seenPort: 0,
        answeredMs: 0,
        reason: '',
      },
    };
    this.#aims.set(key, aim);
    return aim;
  }

  #serve(spec: LinkSpec, member: MemberView, aim: Aim): void {
    const nowMs = this.#options.now();
    const { seat } = aim;
    const isNews = aim.sequence !== member.sequence;
    if (isNews) Object.assign(aim, { sequence: member.sequence, askMs: 0, askedInVain: 0 });
    if (seat === undefined) {
      if (!aim.isAsking && nowMs >= aim.askMs) void this.#ask(spec, member.id, aim);
      return;
    }
    const everyMs = (spec.nat?.keepAliveSeconds ?? 0) * 1000;
    const waitMs = aim.unanswered > 0 ? Math.min(AGAIN_MS, everyMs) : everyMs;
    if (aim.number > 0 && nowMs - aim.sentMs < waitMs && !isNews) return;
    if (aim.unanswered >= UNANSWERED_MAX) {
      aim.seat = undefined;
      aim.reason = SILENT;
      return;
    }
    this.#send(aim, seat, nowMs);
  }

  #send(aim: Aim, { number: seat, secret }: { number: number; secret: Uint8Array }, nowMs: number) {
    aim.number++;
    aim.unanswered++;
    aim.sentMs = nowMs;
    const { link, vni, port, peer, number } = aim;
    const alive = { kind: KeepAliveKind.Alive, seat, number, port: 0, address: 0 };
    try {
      this.#options.send(link, { address: peer, port }, sealed(vni, secret, alive));
    } catch (error) {
      aim.reason = messageOf(error);
    }
  }

  async #ask(spec: LinkSpec, member: string, aim: Aim): Promise<void> {
    const { overlay, port, vni, local } = spec;
    const question: SeatQuestion = { overlay: formatPrefix(overlay), port, vni, local };
    aim.isAsking = true;
    try {
      const told = await this.#options.ask(member, JSON.stringify(question));
      const { seat, secret, refused } = readSeatAnswer(JSON.parse(told), '');
      if (refused !== '' || aim.reason !== SILENT) aim.reason = refused;
      if (refused === '') {
        aim.seat = { number: seat, secret: Buffer.from(secret, 'hex') };
        Object.assign(aim, { number: 0, unanswered: 0 });
      }
    } catch (error) {
      aim.reason = messageOf(error);
    } finally {
      aim.isAsking = false;
      const afterMs = Math.min(ASK_AGAIN_MS * 2 ** aim.askedInVain, ASK_AGAIN_MS_MAX);
      aim.askMs = this.#options.now() + afterMs;
      aim.askedInVain++;
    }
    // The first one follows at once.
    if (aim.seat !== undefined) this.#send(aim, aim.seat, this.#options.now());
  }

  /** Answers that came. */
  events(events: readonly LinkEvent[]): void {
    for (const event of events) {
      const heard = heardOf(event, EventKind.KeepAliveAnswer);
      if (heard === undefined) continue;
      for (const aim of this.#aims.values()) {
        const { seat, link, number } = aim;
        if (seat?.number !== heard.seat || link !== event.name || number !== heard.number) continue;
        if (!isAuthentic(seat.secret, heard, EventKind.KeepAliveAnswer)) continue;
        Object.assign(aim, { seenAddress: heard.address, seenPort: heard.port, unanswered: 0 });
        Object.assign(aim, { answeredMs: this.#options.now(), reason: '', askedInVain: 0 });
      }
    }
  }

  views(link: string): KeepAliveView[] {
    return [...this.#aims.values()]
      .filter((aim) => aim.link === link)
      .map(({ peer, name, seenAddress: address, seenPort: port, answeredMs, reason }) => {
        return { peer, name, address, port, answeredMs, reason };
      });
  }
}

/** Where a member that is there is in a fan, undefined where it is not in it. */
function peerIn(spec: LinkSpec, member: MemberView): number | undefined {
  if (member.isSelf || !isActive(member)) return undefined;
  const fan = member.fans.find(
    ({ overlay, local }) => equals(overlay, spec.overlay) && holdsHost(spec.underlay, local),
  );
  return typeof fan?.local === 'number' ? fan.local : undefined;
}
