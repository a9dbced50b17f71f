/**
 * A gossip node with all that it has none of itself: sockets, a clock, randomness, keys and a place
 * for its epoch. One life of the node, from opening to leaving.
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { GossipSettings } from '../../../../config/gossip.ts';
import { codeOf, messageOf, refusedError } from '../../../../errors.ts';
import type { GossipEvents, PeerRecord } from '../../../../gossip/base/api.ts';
import { Counters } from '../../../../gossip/base/counters.ts';
import { makeIdentity, parseIdentity } from '../../../../gossip/base/identity.ts';
import type { Keyring } from '../../../../gossip/base/keyring.ts';
import { Ed25519Verifier } from '../../../../gossip/base/signer.ts';
import { GossipNode } from '../../../../gossip/node.ts';
import type { Asked } from '../../../../gossip/seal/asked.ts';
import type { Channel } from '../../../../gossip/seal/channel.ts';
import type { SealRefusal } from '../../../../gossip/seal/notices.ts';
import { PlainChannel } from '../../../../gossip/seal/plain.ts';
import { Secure } from '../../../../gossip/seal/secure.ts';
import type { Log } from '../../../../log.ts';
import { isLoopback, type UnderlayAddress } from '../../../../net/underlay-address.ts';
import { INSTANCE_BYTES } from '../../../../wire/gossip/bounds.ts';
import type { Endpoint, NodeId, Question } from '../../../../wire/gossip/types.ts';
import { UdpPorts } from './ports.ts';
import { SeedResolver, type SeedStatus } from './seeds.ts';
import { SocketCounters } from './socket-counters.ts';
import type { StateDirectory } from './state-directory.ts';
import { Streams } from './streams.ts';

/** Should a tick throw, which is a mistake of ours, the next comes after this. */
const TICK_AGAIN_MS = 1000;
const SEEDS_REVIEW_MS = 1000;
/** How long a node that leaves goes on telling so. */
const LEAVE_MS = 300;

export type NodeHostOptions = {
  settings: GossipSettings;
  state: StateDirectory;
  /** undefined = plaintext. */
  keyring: Keyring | undefined;
  record: PeerRecord;
  events: GossipEvents;
  /** Our answer to a member's question; undefined when it is none that we know. */
  answer: (asked: Asked) => Promise<string> | undefined;
  log: Log;
  /** Called before the node says its first word. */
  begin?: (node: GossipNode) => void;
};

export class NodeHost {
  readonly id: NodeId;
  readonly epoch: number;
  readonly node: GossipNode;
  readonly #channel: Channel;
  readonly #sockets: SocketCounters;
  readonly #udp: UdpPorts;
  readonly #streams: Streams;
  readonly #seeds: SeedResolver;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #reviewedMs = 0;

  private constructor(of: {
    options: NodeHostOptions;
    epoch: number;
    node: GossipNode;
    channel: Channel;
    sockets: SocketCounters;
    udp: UdpPorts;
    streams: Streams;
  }) {
    this.id = of.node.id;
    this.epoch = of.epoch;
    this.node = of.node;
    this.#channel = of.channel;
    this.#sockets = of.sockets;
    this.#udp = of.udp;
    this.#streams = of.streams;
    this.#log = of.options.log;
    this.#seeds = new SeedResolver({
      changed: (endpoints) => this.#guard('seeds', () => this.node.setSeeds(endpoints)),
      counters: of.sockets,
      log: of.options.log,
      isKnown: (endpoint) => this.#isKnown(endpoint, of.options.settings),
      reasonFor: (address) => this.#reasonFor(address),
    });
    this.#seeds.set(of.options.settings.seeds);
  }

  /**
   * Binds the port, takes the next epoch and begins.
   * @throws FanwayError `port-taken`, or whatever keeps the state directory from being used.
   */
  static async open(options: NodeHostOptions): Promise<NodeHost> {
    const { settings, state, keyring, log, events } = options;
    const { bind, port } = settings;
    const sockets = new SocketCounters();
    const counters = new Counters();
    const nowMs = (): number => performance.now();
    const { id, signer } = parseIdentity(
      state.identity(() => makeIdentity(randomBytes)),
      state.identityPath,
    );
    let receive = (_from: Endpoint, _datagram: Uint8Array): void => undefined;
    const udp = await UdpPorts.open({
      bind,
      port,
      receive: (from, datagram) => receive(from, datagram),
      counters: sockets,
      log,
    }).catch((error: unknown) => {
      throw bindError(error, port);
    });
    try {
      const epoch = state.nextEpoch();
      const send = (to: Endpoint, datagram: Uint8Array): void => udp.send(to, datagram);
      const verifier = new Ed25519Verifier();
      const common = {
        ...{ self: id, label: settings.label, epoch, random: randomBytes, nowMs, counters },
        notice: (cause: string, sentence: string) => log.warn(`gossip-${cause}`, sentence),
      };
      const channel: Channel =
        keyring === undefined
          ? new PlainChannel(common)
          : new Secure({ ...common, keyring, signer, verifier, send });
      let node: GossipNode | undefined;
      const streams = await Streams.open({
        ...{ bind, port, channel, log, families: udp.families },
        counters: sockets,
        serve: (wants) => node?.serve(wants) ?? [],
        ...{ answer: options.answer, self: id, signer, verifier },
      }).catch((error: unknown) => {
        throw bindError(error, port);
      });
      node = new GossipNode({
        ...{ id, signer, verifier, epoch, events, nowMs, counters },
        instance: randomBytes(INSTANCE_BYTES),
        peer: options.record,
        seeds: [],
        persistEpoch: (next) => state.persistEpoch(next),
        random: Math.random,
        wire: {
          send: (to, payload) => udp.send(to, channel.seal(to, payload)),
          pull: (to, peer, wants, done) => streams.pull(to, peer, wants, done),
        },
      });
      const host = new NodeHost({ options, epoch, node, channel, sockets, udp, streams });
      receive = (from, datagram) => host.#receive(from, datagram, channel);
      options.begin?.(node);
      node.start();
      host.#tick();
      return host;
    } catch (error) {
      await udp.close();
      throw error;
    }
  }

  /** A mistake of ours must not end the router: it is told, counted, and the rest goes on. */
  #guard(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#sockets.count('node.failed');
      const stack = error instanceof Error ? error.stack : undefined;
      this.#log.error('gossip', `${what}: ${stack ?? messageOf(error)}`);
    }
  }

  #receive(from: Endpoint, datagram: Uint8Array, channel: Channel): void {
    this.#guard('receive', () => {
      const opened = channel.open(from, datagram);
      if (opened === undefined) return;
      if (opened.sender !== this.id) this.#seeds.heard(from);
      this.node.receive(from, opened.sender, opened.payload);
    });
  }

  #tick(): void {
    let waitMs = TICK_AGAIN_MS;
    this.#guard('tick', () => {
      waitMs = this.node.tick();
      const nowMs = performance.now();
      if (nowMs - this.#reviewedMs < SEEDS_REVIEW_MS) return;
      this.#reviewedMs = nowMs;
      this.#seeds.review(nowMs);
    });
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, waitMs));
  }

  setSeeds(seeds: GossipSettings['seeds']): void {
    this.#seeds.set(seeds);
  }

  /** Asks a member that is there. @throws Error when it cannot be reached, or tells nothing. */
  async ask(member: NodeId, question: Question, about = ''): Promise<string> {
    const endpoint = this.node.members().find(({ id }) => id === member)?.endpoint;
    if (endpoint === undefined) throw new Error('nobody knows where it is');
    const told = await this.#streams.ask(endpoint, member, question, about);
    if (told === '') throw new Error('its fanway does not know this question: it is older');
    return told;
  }

  seeds(): SeedStatus[] {
    return this.#seeds.status();
  }

  /** Whose datagrams are refused lately, and why. */
  refusals(): SealRefusal[] {
    return this.#channel.refusals();
  }

  /** Whether a member that was heard says that it is at an endpoint, or this host itself is. */
  #isKnown({ address, port }: Endpoint, own: GossipSettings): boolean {
    if (own.bind === null && port === own.port && isLoopback(address)) return true;
    return this.node
      .members()
      .some(
        ({ endpoints, isSelf, lastHeardMs }) =>
          (isSelf || lastHeardMs !== undefined) &&
          endpoints.some((one) => one.address === address && one.port === port),
      );
  }

  #reasonFor(address: UnderlayAddress): string {
    return this.refusals().find((refusal) => refusal.address === address)?.sentence ?? '';
  }

  /** To be called when the keyring has other keys, or another in use. */
  keysChanged(): void {
    if (this.#channel instanceof Secure) this.#channel.keysChanged();
  }

  /** All counters of the channel by name. */
  counters(): Record<string, number> {
    return { ...this.node.counters.all(), ...this.#sockets.all() };
  }

  /** Tells the others that this node leaves, and closes. */
  async leave(): Promise<void> {
    this.#guard('leave', () => this.node.leave());
    await new Promise((resolve) => setTimeout(resolve, LEAVE_MS));
    await this.close();
  }

  /** Closes without a word; the others will find out. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#seeds.close();
    await this.#streams.close();
    await this.#udp.close();
  }
}

function bindError(error: unknown, port: number): Error {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return refusedError(
        'port-taken',
        `another program has port ${port} (UDP or TCP): end it, or choose another port, the same in every seed that names this host`,
      );
    case 'EADDRNOTAVAIL':
      return refusedError('bind-address', 'the address to bind is not one of this host');
    default:
      return error instanceof Error ? error : new Error(String(error));
  }
}
