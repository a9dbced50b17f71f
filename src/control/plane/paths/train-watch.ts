/**
 * Which trains get to the members of the cluster: who is to be tested and when the way there has changed,
 * with what this host hears of others' tests.
 * @module
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../errors.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import { isActive } from '../../../gossip/members/members.ts';
import type { Log } from '../../../log.ts';
import { wordsOfIpv6 } from '../../../net/prefix6.ts';
import {
  familyOf,
  holdsHost,
  hostBytes,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { UNDERLAYS_MAX } from '../../../net/underlay-modes.ts';
import { Netlink } from '../../../sys/netlink/netlink.ts';
import type { NetEvent } from '../../../table/events.ts';
import type { TrainProof, TrainUse } from '../../../table/links/path-limits.ts';
import { type PathRecord, Segmentation } from '../../../table/paths.ts';
import { Question } from '../../../wire/gossip/types.ts';
import { IPV4_HEADER_BYTES } from '../../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../../wire/ipv6.ts';
import { TRAIN_TEST_TOKEN_BYTES } from '../../../wire/lan/train-test.ts';
import { UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import {
  type AnySpec,
  isFan,
  isNetwork,
  type LinkSpec,
  type NetworkSpec,
  overheadOfLink,
  underlaysOf,
} from '../../store/link-spec.ts';
import { LinkHomes } from '../underlays/homes.ts';
import { endTo, type VtepAt } from './path-ends.ts';
import { readTrainCounts, TrainLedger } from './train-ledger.ts';
import { type TrainAim, TrainProofs, type TrainsSent } from './train-proofs.ts';
import { hasTrainTests, sendTrainTest } from './train-sends.ts';

/** Large packets that went out this long ago still count as going out, ms. */
const LARGE_MS = 10_000;
/** How often the ways to peers are looked up, ms, and of how many. */
const WAYS_MS = 1000;
const WAYS_MAX = 64;

/** What is asked about the ways to peers. */
type RouteView = Pick<Netlink, 'routeTo' | 'routeTo6' | 'findLink' | 'close'>;

export type TrainWatchOptions = {
  /** The links that are up, of both kinds. */
  specs: () => readonly AnySpec[];
  vtep: VtepAt;
  members: () => readonly MemberView[];
  /** Asks a member over the gossip channel. @throws Error */
  ask: (member: string, question: Question) => Promise<string>;
  log: Log;
  /** Opens a view of the routes here; given by tests. */
  netlink?: () => RouteView;
};

export class TrainWatch {
  readonly #options: TrainWatchOptions;
  readonly #ledger = new TrainLedger();
  readonly #proofs: TrainProofs;
  /** What the data processes said last of the path to a peer. */
  #records = new Map<UnderlayAddress, PathRecord>();
  readonly #ways = new Map<UnderlayAddress, string>();
  #netlink: RouteView | undefined;
  #waysAtMs = 0;
  #isLooking = false;

  constructor(options: TrainWatchOptions) {
    this.#options = options;
    this.#proofs = new TrainProofs({
      send: (aim, token) => this.#send(aim, token),
      ask: async (member) => {
        const told = await options.ask(member, Question.Trains);
        return readTrainCounts(JSON.parse(told), '');
      },
      token: () => randomBytes(TRAIN_TEST_TOKEN_BYTES),
      wait: (ms) => sleep(ms, undefined, { ref: false }),
      now: () => performance.now(),
      told: (text) => options.log.warn('trains', text),
    });
  }

  /** What the data processes heard of others' tests. */
  events(events: readonly NetEvent[]): void {
    this.#ledger.note(events);
  }

  /** The answer to a member's question; undefined when it is none about trains. */
  answer(question: number): Promise<string> | undefined {
    if (question !== Question.Trains) return undefined;
    return Promise.resolve(JSON.stringify(this.#ledger.counts()));
  }

  of(peer: UnderlayAddress): TrainProof | undefined {
    return this.#proofs.of(peer);
  }

  limits(): Map<UnderlayAddress, TrainUse> {
    return this.#proofs.limits();
  }

  /** Tests what is due of the peers that trains go to. */
  look(paths: readonly PathRecord[], nowMs: number): void {
    this.#records = new Map(paths.map((record) => [record.peer, record]));
    const aims = this.#aims();
    if (aims.length === 0) return;
    const some = aims.slice(0, WAYS_MAX);
    // Who is new has a stream that stands still, perhaps: for him is looked at once.
    const isNew = some.some(({ peer }) => !this.#ways.has(peer));
    const isWayDue = isNew || nowMs - this.#waysAtMs >= WAYS_MS;
    if (isWayDue && !this.#isLooking) {
      this.#waysAtMs = nowMs;
      void this.#lookAtWays(some).then(() => this.#step(aims));
    } else this.#step(aims);
  }

  #step(aims: readonly TrainAim[]): void {
    const known = aims.filter(({ peer }) => this.#ways.has(peer));
    this.#proofs.step(known.map((aim) => ({ ...aim, way: this.#ways.get(aim.peer) ?? '' })));
  }

  close(): void {
    this.#netlink?.close();
    this.#netlink = undefined;
  }

  /** Members that trains go to by a link of ours. */
  #aims(): TrainAim[] {
    const specs = this.#options.specs().filter(hasTrainTests);
    if (specs.length === 0 || this.#records.size === 0) return [];
    const members = this.#options.members();
    const ofFans = this.#aimsOfFans(specs.filter(isFan), members);
    const found = new Set(ofFans.map(({ peer }) => peer));
    const active = new Set(
      members.filter((one) => !one.isSelf && isActive(one)).map(({ id }) => id),
    );
    const ofNetworks = this.#aimsOfNetworks(specs.filter(isNetwork), members);
    const more = ofNetworks.filter(({ peer, member }) => !found.has(peer) && active.has(member));
    return [...ofFans, ...more];
  }

  /** Members of layer-2 networks: whoever has a tunnel endpoint where trains go. */
  #aimsOfNetworks(specs: readonly NetworkSpec[], members: readonly MemberView[]): TrainAim[] {
    if (specs.length === 0) return [];
    const used = [...this.#records.keys()].filter((peer) => this.#isUsed(peer));
    if (used.length === 0) return [];
    const homes = new Map(specs.map((spec) => [spec, new LinkHomes(spec, members)]));
    return used.flatMap((peer): TrainAim[] => {
      for (const spec of specs) {
        for (const at of underlaysOf(spec).keys()) {
          const first = at === 0 ? peer : homes.get(spec)?.peerAt(at, peer);
          const best = first === undefined ? first : this.#options.vtep(spec.name, first);
          if (best?.source === 'gossip') return [{ peer, member: best.owner, way: '' }];
        }
      }
      return [];
    });
  }

  /** Hosts of fans, at their address on each of its underlays. */
  #aimsOfFans(specs: readonly LinkSpec[], members: readonly MemberView[]): TrainAim[] {
    if (specs.length === 0) return [];
    const homes = new Map(specs.map((spec) => [spec, new LinkHomes(spec, members)]));
    return members.flatMap((member): TrainAim[] => {
      if (member.isSelf || !isActive(member)) return [];
      const all = member.fans.flatMap(({ local }) =>
        specs.flatMap((spec) =>
          holdsHost(spec.underlay, local)
            ? underlaysOf(spec).flatMap((_, at) => homes.get(spec)?.addressOn(at, local) ?? [])
            : [],
        ),
      );
      // Where packets go at all is known of hosts that several underlays lead to: those are tested at once.
      const isReached = member.fans.some(({ local }) =>
        isRecent(this.#records.get(local)?.usedAtMs ?? 0),
      );
      const isMeant = (peer: UnderlayAddress): boolean =>
        this.#isUsed(peer) || (isReached && this.of(peer) === undefined);
      const used = [...new Set(all)].filter(isMeant);
      return used.slice(0, UNDERLAYS_MAX).map((peer) => ({ peer, member: member.id, way: '' }));
    });
  }

  #isUsed(peer: UnderlayAddress): boolean {
    const record = this.#records.get(peer);
    if (record === undefined) return false;
    const isFirst = record.segmentation === Segmentation.Works && this.of(peer) === undefined;
    return isFirst || isRecent(record.largeAtMs);
  }

  /** By which device and gateway the kernel goes to each, and what that device is like. */
  async #lookAtWays(aims: readonly TrainAim[]): Promise<void> {
    this.#isLooking = true;
    try {
      this.#netlink ??= (this.#options.netlink ?? (() => Netlink.open()))();
      const netlink = this.#netlink;
      const devices = new Map<number, string>();
      for (const { peer } of aims) {
        const route = await routeTo(netlink, peer);
        if (route === undefined) continue;
        const { oif, via, mtu } = route;
        if (!devices.has(oif)) {
          const link = await netlink.findLink(oif);
          devices.set(oif, `${link?.mtu} ${link?.carrier} ${link?.address}`);
        }
        this.#ways.set(peer, `${oif} ${via} ${mtu} ${devices.get(oif)}`);
      }
      const asked = new Set(aims.map(({ peer }) => peer));
      for (const peer of this.#ways.keys()) {
        if (!this.#records.has(peer) && !asked.has(peer)) this.#ways.delete(peer);
      }
    } catch {
      // Closed meanwhile: looked up again in a second, if ever.
    } finally {
      this.#isLooking = false;
    }
  }

  #send({ peer }: TrainAim, token: Buffer): TrainsSent | undefined {
    const { specs, vtep } = this.#options;
    const found = endTo(peer, specs().filter(hasTrainTests), vtep);
    if (found === undefined) return undefined;
    const { spec, local } = found;
    const { mtu } = this.#records.get(peer) ?? { mtu: 0 };
    // As long as the largest packets that go there.
    const largest = spec.innerMtu + overheadOfLink(spec);
    const outer = mtu === 0 ? largest : Math.min(largest, mtu);
    const ip = familyOf(local) === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    try {
      return sendTrainTest(spec, local, peer, token, outer - ip - UDP_HEADER_BYTES);
    } catch (error) {
      this.#options.log.debug('trains', messageOf(error));
      return undefined;
    }
  }
}

/** How the kernel goes to a peer; undefined where it has no route just now. */
async function routeTo(netlink: RouteView, peer: UnderlayAddress) {
  try {
    if (typeof peer === 'number') return await netlink.routeTo(peer);
    return await netlink.routeTo6(wordsOfIpv6(hostBytes(peer)));
  } catch {
    return undefined;
  }
}

function isRecent(atMs: number): boolean {
  return Math.abs(Date.now() - atMs) <= LARGE_MS;
}
