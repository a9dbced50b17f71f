/**
 * What control knows of the paths to peers, for the data processes: the MTU that each member of the
 * cluster tells of itself, and what echo requests show of those who tell nothing. Looked at twice a
 * second; a host is probed only while large packets go to it.
 * @module
 */

import { randomBytes } from 'node:crypto';
import { messageOf } from '../../../errors.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import type { Asked } from '../../../gossip/seal/asked.ts';
import type { Log } from '../../../log.ts';
import {
  familyOf,
  formatHostAddress,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { Beat } from '../../../sys/process/beat.ts';
import { EchoSocket } from '../../../sys/sockets/echo-socket.ts';
import type { LinkEvent } from '../../../table/events.ts';
import { type PathLimit, TrainUse } from '../../../table/links/path-limits.ts';
import { MtuSource, type MtuSourceCode, type PathRecord } from '../../../table/paths.ts';
import type { Question } from '../../../wire/gossip/types.ts';
import { type AnySpec, isFan, type LinkSpec, underlaysOf } from '../../store/link-spec.ts';
import { emitEchoRequest, readEchoToken } from '../echo/echo.ts';
import { NatWatch } from '../nat/nat-watch.ts';
import type { TunnelSet } from '../tunnel-set.ts';
import { endTo, type VtepAt } from './path-ends.ts';
import { PathProber } from './path-prober.ts';
import { TrainWatch } from './train-watch.ts';

const LOOK_MS = 500;
/** Large packets that went out this long ago still count as going out, ms. */
const LARGE_MS = 10_000;
/** Answers that are read at a time; more of them are nobody's we asked. */
const ANSWERS_MAX = 256;

export type PathWatchOptions = {
  tunnels: Pick<TunnelSet, 'paths' | 'setPathLimits' | 'setSeats' | 'sendFrom'>;
  /** The links that are up, of both kinds. */
  specs: () => readonly AnySpec[];
  /** Who takes part in a network at an underlay address. */
  vtep: VtepAt;
  /** The gossip node while it runs. */
  node: () => { members(): readonly MemberView[]; summaryHash(): string } | undefined;
  /** Asks a member over the gossip channel. @throws Error */
  ask: (member: string, question: Question, about?: string) => Promise<string>;
  log: Log;
};

export class PathWatch {
  readonly #options: PathWatchOptions;
  readonly #prober: PathProber;
  /** Which trains get to members. */
  readonly trains: TrainWatch;
  /** Who is behind a NAT, and where. */
  readonly nat: NatWatch;
  /** By local address; undefined where none may be opened. */
  readonly #sockets = new Map<UnderlayAddress, EchoSocket | undefined>();
  #beat: Beat | undefined;
  #members = new Map<UnderlayAddress, number>();
  #membersHash = '';
  #dropped = 0;

  constructor(options: PathWatchOptions) {
    this.#options = options;
    const { specs, vtep, ask, log, tunnels } = options;
    const members = (): readonly MemberView[] => options.node()?.members() ?? [];
    this.trains = new TrainWatch({ specs, vtep, members, ask, log });
    const fans = (): LinkSpec[] => specs().filter(isFan);
    this.nat = new NatWatch({ specs: fans, members, ask, log, tunnels });
    this.#prober = new PathProber({
      send: (peer, bytes, token) => this.#send(peer, bytes, token),
      token: () => randomBytes(8).toString('hex'),
    });
  }

  start(): void {
    this.#beat ??= new Beat(LOOK_MS, () => this.look()).unref();
  }

  stop(): void {
    this.#beat?.close();
    this.#beat = undefined;
    for (const socket of this.#sockets.values()) socket?.close();
    this.#sockets.clear();
    this.trains.close();
  }

  /** What the data processes tell. */
  events(events: readonly LinkEvent[]): void {
    this.trains.events(events);
    this.nat.events(events);
  }

  /** The answer to a member's question; undefined when it is about something else. */
  answer(asked: Asked): Promise<string> | undefined {
    return this.trains.answer(asked.question) ?? this.nat.answer(asked);
  }

  /** Reads answers, sends what is due, tells the data processes. Never throws. */
  look(): void {
    const { tunnels, specs, vtep, log } = this.#options;
    try {
      const links = specs();
      const nowMs = performance.now();
      this.#receive(nowMs);
      this.#lookAtMembers();
      this.#closeUnused(links);
      const paths = tunnels.paths();
      this.trains.look(paths, nowMs);
      this.nat.look();
      const large = largePeers(paths, links, Date.now(), vtep);
      // What a member tells is true of its own device: what lies between may carry less.
      for (const [peer, mtu] of this.#members) {
        const ours = large.get(peer);
        if (ours !== undefined) large.set(peer, Math.min(mtu, ours));
      }
      this.#prober.step(large, nowMs);
      const dropped = tunnels.setPathLimits(this.#limits(links));
      if (dropped > this.#dropped) {
        log.warn(
          'paths',
          `no room for the MTUs of ${dropped} hosts: too large packets may be lost`,
        );
      }
      this.#dropped = dropped;
    } catch (error) {
      log.error('paths', messageOf(error));
    }
  }

  #limits(links: readonly AnySpec[]): PathLimit[] {
    const largest = Math.max(0, ...links.map(({ underlayMtu }) => underlayMtu));
    const byTrains = this.trains.limits();
    const limits: PathLimit[] = [];
    const add = (peer: UnderlayAddress, mtu: number, source: MtuSourceCode): void => {
      limits.push({ peer, mtu, source, trains: byTrains.get(peer) ?? TrainUse.Any });
      byTrains.delete(peer);
    };
    const probed = this.#prober.limits();
    for (const [peer, mtu] of this.#members) {
      const isLeast = mtu < largest && mtu <= (probed.get(peer) ?? mtu);
      if (!isLeast) continue;
      add(peer, mtu, MtuSource.Member);
      probed.delete(peer);
    }
    for (const [peer, mtu] of probed) add(peer, mtu, MtuSource.Probe);
    for (const peer of [...byTrains.keys()]) add(peer, 0, MtuSource.None);
    return limits;
  }

  #lookAtMembers(): void {
    const node = this.#options.node();
    const hash = node?.summaryHash() ?? '';
    if (hash === this.#membersHash) return;
    this.#membersHash = hash;
    this.#members = memberMtus(node?.members() ?? []);
  }

  #closeUnused(links: readonly AnySpec[]): void {
    for (const [local, socket] of this.#sockets) {
      if (links.flatMap(underlaysOf).some((one) => one.local === local)) continue;
      socket?.close();
      this.#sockets.delete(local);
    }
  }

  #send(peer: UnderlayAddress, bytes: number, token: string): boolean {
    const { specs, vtep } = this.#options;
    const end = endTo(peer, specs(), vtep);
    const socket = end === undefined ? undefined : this.#socketOf(end.local);
    return socket?.send(peer, emitEchoRequest(familyOf(peer), bytes, token)) ?? false;
  }

  #socketOf(local: UnderlayAddress): EchoSocket | undefined {
    if (this.#sockets.has(local)) return this.#sockets.get(local);
    let socket: EchoSocket | undefined;
    try {
      socket = EchoSocket.open(local);
    } catch (error) {
      const why = messageOf(error);
      this.#options.log.warn('paths', `${formatHostAddress(local)}: paths are not probed: ${why}`);
    }
    this.#sockets.set(local, socket);
    return socket;
  }

  #receive(nowMs: number): void {
    for (const socket of this.#sockets.values()) {
      for (let i = 0; socket !== undefined && i < ANSWERS_MAX; i++) {
        const message = socket.receive();
        if (message === undefined) break;
        const token = readEchoToken(message, socket.family, socket.showsOuterHeader);
        if (token !== undefined) this.#prober.answered(token, nowMs);
      }
    }
  }
}

/** The smallest MTU that somebody tells of itself, by each address that it is at. */
export function memberMtus(members: readonly MemberView[]): Map<UnderlayAddress, number> {
  const mtus = new Map<UnderlayAddress, number>();
  for (const { isSelf, mtu, fans, endpoints, state } of members) {
    if (isSelf || mtu === 0 || state === 'dead' || state === 'left') continue;
    const addresses = [
      ...fans.map(({ local }) => local),
      ...endpoints.map(({ address }) => address),
    ];
    for (const address of addresses) {
      mtus.set(address, Math.min(mtu, mtus.get(address) ?? mtu));
    }
  }
  return mtus;
}

/** The hosts that large packets go to, each with the MTU of our device there. */
export function largePeers(
  paths: readonly PathRecord[],
  links: readonly AnySpec[],
  nowMs: number,
  vtep: VtepAt = () => undefined,
): Map<UnderlayAddress, number> {
  const large = new Map<UnderlayAddress, number>();
  for (const { peer, largeAtMs, mtu, mtuSource } of paths) {
    if (Math.abs(nowMs - largeAtMs) > LARGE_MS) continue;
    const link = endTo(peer, links, vtep)?.spec;
    if (link === undefined) continue;
    // What the route says is as much as can be asked for.
    const isOurs = mtu !== 0 && mtuSource === MtuSource.Route;
    large.set(peer, isOurs ? Math.min(mtu, link.underlayMtu) : link.underlayMtu);
  }
  return large;
}
