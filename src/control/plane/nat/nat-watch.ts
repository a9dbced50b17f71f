/**
 * NATs between the hosts of fans, from both sides: who is let be elsewhere, and is seen where; and, where
 * this host is behind one, how it is seen by others.
 * @module
 */

import { randomBytes } from 'node:crypto';
import type { NatStatus } from '../../../api/status.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import type { Asked } from '../../../gossip/seal/asked.ts';
import type { Log } from '../../../log.ts';
import { formatHostAddress, formatHostPort } from '../../../net/underlay-address.ts';
import type { LinkEvent } from '../../../table/events.ts';
import { Question } from '../../../wire/gossip/types.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import type { TunnelSet } from '../tunnel-set.ts';
import { KeepAlives } from './keep-alives.ts';
import { SeatBook, type SendFrom } from './seat-book.ts';

export type NatWatchOptions = {
  tunnels: Pick<TunnelSet, 'setSeats' | 'sendFrom'>;
  specs: () => readonly LinkSpec[];
  members: () => readonly MemberView[];
  /** Asks a member over the gossip channel. @throws Error */
  ask: (member: string, question: Question, about: string) => Promise<string>;
  log: Log;
};

export class NatWatch {
  readonly #options: NatWatchOptions;
  readonly #book: SeatBook;
  readonly #keepAlives: KeepAlives;

  constructor(options: NatWatchOptions) {
    this.#options = options;
    const { specs, members, log, tunnels } = options;
    const common = { specs, members, log, now: () => performance.now() };
    const send: SendFrom = (link, ...sending) => tunnels.sendFrom(link, ...sending);
    this.#book = new SeatBook({ ...common, send, random: randomBytes });
    const ask = (member: string, about: string) => options.ask(member, Question.Seat, about);
    this.#keepAlives = new KeepAlives({ ...common, send, ask });
  }

  answer(asked: Asked): Promise<string> | undefined {
    return this.#book.answer(asked);
  }

  /** What the data processes heard. */
  events(events: readonly LinkEvent[]): void {
    try {
      this.#book.events(events);
    } finally {
      this.#keepAlives.events(events);
      this.#tell();
    }
  }

  /** Asks, sends and tells what is due. */
  look(): void {
    this.#book.look();
    this.#keepAlives.look();
    this.#tell();
  }

  #tell(): void {
    for (const spec of this.#options.specs()) {
      if (spec.nat !== undefined) this.#options.tunnels.setSeats(spec.name, this.#book.rows(spec));
    }
  }

  /** What is known of a link; undefined where no NAT is spoken of. */
  status({ name, nat }: LinkSpec): NatStatus | undefined {
    if (nat === undefined) return undefined;
    const nowMs = performance.now();
    const at = (address: number, port: number): string =>
      port === 0 ? '' : formatHostPort(address, port);
    const ago = (port: number, atMs: number): number => (port === 0 ? 0 : Math.round(nowMs - atMs));
    const heard = this.#book.views(name);
    return {
      keepAliveSeconds: nat.keepAliveSeconds,
      peers: nat.peers.map((peer) => {
        const seat = heard.find((one) => one.peer === peer);
        const { address = 0, port = 0, heardMs = 0, name: member = '' } = seat ?? {};
        const seen = { seenAt: at(address, port), agoMs: ago(port, heardMs) };
        return { peer: formatHostAddress(peer), name: member, ...seen };
      }),
      seenBy: this.#keepAlives.views(name).map(({ peer, address, port, answeredMs, ...rest }) => ({
        ...{ peer: formatHostAddress(peer), name: rest.name, reason: rest.reason },
        ...{ seenAt: at(address, port), agoMs: ago(port, answeredMs) },
      })),
    };
  }
}
