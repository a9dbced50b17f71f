/**
 * A few nodes in one process on a wire without faults, and a clock that is moved by hand.
 * @module
 */
import type { GossipNodeOptions, MemberChange, PeerRecord } from '../../src/gossip/base/api.ts';
import { Ed25519Verifier, ed25519Signer, nodeIdOf } from '../../src/gossip/base/signer.ts';
import { GossipNode } from '../../src/gossip/node.ts';
import type { Endpoint } from '../../src/wire/gossip/types.ts';

const FIRST_ADDRESS = 0x0a000001;
const PORT = 7946;

export type LabNode = {
  node: GossipNode;
  publicKey: Uint8Array;
  endpoint: Endpoint;
  /** Members as this node told of them. */
  changes: MemberChange[];
  log: string[];
  /** Addresses of workloads that it was asked for. */
  sought: (number | string)[][];
  /** It is there: it gets ticks and datagrams. */
  running: boolean;
};

type Datagram = { from: LabNode; to: Endpoint; payload: Uint8Array };

/** Numbers in [0, 1) from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function peerRecord(index: number): PeerRecord {
  return {
    name: `n${index}`,
    endpoints: [{ address: FIRST_ADDRESS + index, port: PORT }],
    encaps: [{ encap: 'vxlan', port: 4789 }],
    mtu: 1500,
    vnis: [100],
    fans: [],
    version: '0.1.0',
    capabilities: [],
  };
}

export class NodeLab {
  nowMs = 0;
  /** How far apart ticks are. */
  stepMs = 20;
  readonly nodes: LabNode[] = [];
  /** A datagram that this says no to is lost. */
  passes: (from: LabNode, to: LabNode) => boolean = () => true;
  /** Nodes behind a NAT, by the endpoint that others see; their own is out of reach. */
  readonly behindNat = new Map<LabNode, Endpoint>();
  #waiting: Datagram[] = [];

  /** Makes a node that knocks at `seeds`, and starts it. */
  add(seeds: readonly LabNode[], options: Partial<GossipNodeOptions> = {}): LabNode {
    const index = this.nodes.length;
    const signer = ed25519Signer(new Uint8Array(32).fill(index + 1));
    const endpoint = { address: FIRST_ADDRESS + index, port: PORT };
    const changes: MemberChange[] = [];
    const log: string[] = [];
    const sought: (number | string)[][] = [];
    const node = new GossipNode({
      id: nodeIdOf(signer.publicKey),
      signer,
      verifier: new Ed25519Verifier(),
      epoch: 1,
      instance: new Uint8Array(8).fill(index),
      peer: peerRecord(index),
      seeds: seeds.map((seed) => seed.endpoint),
      persistEpoch: () => {},
      random: randomFrom(index + 1),
      nowMs: () => this.nowMs,
      wire: {
        send: (to, payload) => this.#waiting.push({ from: made, to, payload }),
        pull: (to, _peer, wants, sink) => {
          const server = this.#at(to);
          if (server !== undefined) for (const raw of server.node.serve(wants)) sink.blocks(raw);
          sink.end(server !== undefined);
        },
      },
      events: {
        member: (change) => changes.push(change),
        entry: () => {},
        conflict: () => {},
        log: (line) => log.push(line),
        sought: ({ addresses }) => sought.push([...addresses]),
      },
      ...options,
    });
    const { publicKey } = options.signer ?? signer;
    const made: LabNode = { node, publicKey, endpoint, changes, log, sought, running: true };
    this.nodes.push(made);
    node.start();
    return made;
  }

  /** Lets time pass step by step; what was sent in one arrives at its end. */
  run(durationMs: number): void {
    for (const end = this.nowMs + durationMs; this.nowMs < end; this.nowMs += this.stepMs) {
      for (const { node, running } of this.nodes) if (running) node.tick();
      const arriving = this.#waiting;
      this.#waiting = [];
      for (const { from, to, payload } of arriving) {
        const there = this.#at(to);
        if (there === undefined || !this.passes(from, there)) continue;
        const seen = this.behindNat.get(from) ?? from.endpoint;
        there.node.receive(seen, from.node.id, payload);
      }
    }
  }

  #at({ address, port }: Endpoint): LabNode | undefined {
    return this.nodes.find((one) => {
      const reached = this.behindNat.get(one) ?? one.endpoint;
      return one.running && reached.address === address && reached.port === port;
    });
  }
}
