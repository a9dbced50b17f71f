/**
 * Where those hosts are seen that the operator lets be elsewhere. Such a host asks for a seat by a signed
 * question of the gossip channel; what it is told is a secret, with which each of its keep-alives is
 * tagged. The address and port by which the newest of them came is where it is: a NAT that has
 * forgotten it and gives it another port is followed with the next one, what is forged has no right tag,
 * and what is repeated is not the newest.
 *
 * Pure: time, randomness and the ways out come in.
 * @module
 */

import { fields, host, number, type ReadBy, text } from '../../../api/reader.ts';
import { messageOf } from '../../../errors.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import { isActive } from '../../../gossip/members/members.ts';
import type { Asked } from '../../../gossip/seal/asked.ts';
import type { Log } from '../../../log.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import { formatHostAddress, formatHostPort } from '../../../net/underlay-address.ts';
import { EventKind, type LinkEvent } from '../../../table/events.ts';
import type { Seat } from '../../../table/links/seats.ts';
import { Question } from '../../../wire/gossip/types.ts';
import { KeepAliveKind } from '../../../wire/lan/keep-alive.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import type { Sending } from '../endpoint-set.ts';
import { heardOf, isAuthentic, SECRET_BYTES, sealed } from './tag.ts';

const SEAT_NUMBERS = 0x1_0000;

/** What a host asks for: a place in a fan, for its own underlay address there. */
export const readSeatQuestion = fields({ overlay: text, port: number, vni: number, local: host });
export type SeatQuestion = ReadBy<typeof readSeatQuestion>;
/** What it is told: its seat and the secret in hex, or why it has none ('' otherwise). */
export const readSeatAnswer = fields({ seat: number, secret: text, refused: text });
export type SeatAnswer = ReadBy<typeof readSeatAnswer>;

/** Sends from the port that a link listens on. @throws SystemError */
export type SendFrom = (link: string, ...sending: Sending) => void;

export type SeatBookOptions = {
  /** Fans that are up. */
  specs: () => readonly LinkSpec[];
  members: () => readonly MemberView[];
  send: SendFrom;
  random: (bytes: number) => Buffer;
  /** Monotonic, ms. */
  now: () => number;
  log: Log;
};

type Held = {
  link: string;
  peer: number;
  /** Id and name of the member. */
  member: string;
  name: string;
  secret: Uint8Array;
  /** Of the newest keep-alive; those up to it are old. */
  number: number;
  /** Where it is seen; port 0 = not yet. */
  address: number;
  port: number;
  heardMs: number;
};

/** A host that may be elsewhere, as `status` has it; port 0 = it has not been heard. */
export type SeatView = Pick<Held, 'peer' | 'name' | 'address' | 'port' | 'heardMs'>;

export class SeatBook {
  readonly #options: SeatBookOptions;
  readonly #seats = new Map<number, Held>();
  #last = 0;
  /** Keep-alives that were not believed. */
  refused = 0;

  constructor(options: SeatBookOptions) {
    this.#options = options;
  }

  /** The answer to a member that asks for a seat; undefined where it asks for something else. */
  answer(asked: Asked): Promise<string> | undefined {
    if (asked.question !== Question.Seat) return undefined;
    let answer: SeatAnswer;
    try {
      answer = this.#give(asked, readSeatQuestion(JSON.parse(asked.about), ''));
    } catch {
      answer = refusal('the question is not one that this build understands');
    }
    return Promise.resolve(JSON.stringify(answer));
  }

  #give({ from, isProved }: Asked, question: SeatQuestion): SeatAnswer {
    const { specs, members, random } = this.#options;
    const { overlay, port, vni, local } = question;
    if (!isProved || typeof local !== 'number') return refusal('the question is not signed');
    const spec = specs().find(
      (one) => one.port === port && one.vni === vni && formatPrefix(one.overlay) === overlay,
    );
    if (spec === undefined) return refusal('it has no such fan');
    if (spec.nat?.peers.includes(local) !== true) {
      const address = formatHostAddress(local);
      return refusal(
        `it does not let ${address} be elsewhere: its fan needs the option --nat ${address}`,
      );
    }
    const claimants = members().filter(
      (member) => isActive(member) && member.fans.some((fan) => fan.local === local),
    );
    if (claimants.length !== 1 || claimants[0]?.id !== from) {
      return refusal(
        `another host says that it is ${formatHostAddress(local)}, or nobody does yet`,
      );
    }
    const before = [...this.#seats].find(
      ([, held]) => held.link === spec.name && held.peer === local,
    );
    if (before !== undefined) this.#seats.delete(before[0]);
    const { address = 0, port: seenPort = 0, heardMs = 0 } = before?.[1] ?? {};
    const secret = random(SECRET_BYTES);
    const seat = this.#nextSeat();
    this.#seats.set(seat, {
      ...{ link: spec.name, peer: local, member: from, name: claimants[0].name, secret, number: 0 },
      // Where it was last holds until it is heard.
      ...{ address, port: seenPort, heardMs },
    });
    return { seat, secret: secret.toString('hex'), refused: '' };
  }

  #nextSeat(): number {
    do this.#last = (this.#last + 1) % SEAT_NUMBERS;
    while (this.#seats.has(this.#last));
    return this.#last;
  }

  /** Keep-alives that came; each that is believed is answered, and may move whoever sent it. */
  events(events: readonly LinkEvent[]): void {
    for (const event of events) {
      const heard = heardOf(event, EventKind.KeepAlive);
      if (heard === undefined) continue;
      const held = this.#seats.get(heard.seat);
      const isBelieved =
        held !== undefined &&
        held.link === event.name &&
        heard.number > held.number &&
        isAuthentic(held.secret, heard, EventKind.KeepAlive);
      if (!isBelieved) {
        this.refused++;
        continue;
      }
      this.#heard(held, heard);
    }
  }

  #heard(held: Held, heard: { seat: number; number: number; address: number; port: number }): void {
    const { specs, send, now, log } = this.#options;
    const { seat, number, address, port } = heard;
    const { link, secret, peer, name } = held;
    const where = formatHostPort(address, port);
    if (held.address !== address || held.port !== port) {
      log.info('nat', `${link}: ${name} (${formatHostAddress(peer)}) is at ${where} from now on`);
    }
    Object.assign(held, { number, address, port, heardMs: now() });
    const spec = specs().find((one) => one.name === link);
    if (spec === undefined) return;
    const answer = { kind: KeepAliveKind.Answer, seat, number, port, address };
    try {
      send(link, { address, port }, sealed(spec.vni, secret, answer));
    } catch (error) {
      log.debug('nat', `${link}: ${where} is not answered: ${messageOf(error)}`);
    }
  }

  /** Forgets those whose fan has gone, or lets them in no more. */
  look(): void {
    const specs = this.#options.specs();
    for (const [seat, { link, peer }] of this.#seats) {
      const spec = specs.find((one) => one.name === link);
      if (spec?.nat?.peers.includes(peer) !== true) this.#seats.delete(seat);
    }
  }

  /** Where the peers of a link are that are not at their own address and port. */
  rows({ name, port: own }: LinkSpec): Seat[] {
    return this.#of(name).flatMap(({ peer, address, port }) =>
      port === 0 || (address === peer && port === own) ? [] : [{ peer, address, port }],
    );
  }

  views(link: string): SeatView[] {
    return this.#of(link);
  }

  #of(link: string): Held[] {
    return [...this.#seats.values()].filter((held) => held.link === link);
  }
}

function refusal(refused: string): SeatAnswer {
  return { seat: 0, secret: '', refused };
}
