/**
 * Whole nodes with everything sealed between them, on a wire without faults and a clock that is
 * moved by hand. All datagrams are recorded.
 * @module
 */

import { Ed25519Verifier, ed25519Signer, nodeIdOf } from '../../src/gossip/base/signer.ts';
import { GossipNode } from '../../src/gossip/node.ts';
import { type Endpoint, ItemKind, type MacItem, type NodeId } from '../../src/wire/gossip/types.ts';
import { Random } from '../fuzz/mutate.ts';
import { peerRecord } from './node-lab.ts';
import { type TestNode, Wire } from './secure-rig.ts';

const STEP_MS = 50;
const VNI = 100;

export type SealedNode = { node: GossipNode; outer: TestNode; running: boolean };

export class SealedLab {
  readonly wire = new Wire();
  readonly nodes: SealedNode[] = [];
  readonly #epochs = new Map<number, number>();

  constructor(count: number) {
    this.wire.opened = ({ id }, from, { sender, payload }) => {
      const there = this.nodes.find((one) => one.outer.id === id);
      if (there?.running) there.node.receive(from, sender, payload);
    };
    this.wire.pass = ({ to }) => this.isRunning(to);
    for (let index = 0; index < count; index++) this.start(index);
  }

  /** Starts a node, or one more life of it: with its key, an epoch more, and nothing else kept. */
  start(index: number): SealedNode {
    const { wire } = this;
    const epoch = (this.#epochs.get(index) ?? 0) + 1;
    this.#epochs.set(index, epoch);
    const signer = ed25519Signer(new Uint8Array(32).fill(index + 1));
    const id = nodeIdOf(signer.publicKey);
    const [at] = peerRecord(index).endpoints;
    const before = this.nodes[index];
    const outer = wire.start(`n${index}`, Number(at?.address ?? 0), {
      ...{ signer, epoch },
      ...(before !== undefined && { ring: before.outer.ring }),
    });
    const random = new Random(index + 1 + 1000 * epoch);
    const node = new GossipNode({
      ...{ id, signer, epoch, counters: outer.counters, peer: peerRecord(index) },
      verifier: new Ed25519Verifier(),
      instance: new Uint8Array(8).fill(16 * index + epoch),
      seeds: index === 0 ? peerRecord(1).endpoints : peerRecord(0).endpoints,
      persistEpoch: () => {},
      random: () => random.next() / 2 ** 32,
      nowMs: () => wire.nowMs,
      wire: {
        send: (to, payload) =>
          wire.put({ from: outer.at, to, bytes: outer.secure.seal(to, payload) }),
        pull: (_to, peer, wants, sink) => {
          const server = this.nodes.find((one) => one.running && one.node.id === peer);
          for (const raw of server?.node.serve(wants) ?? []) sink.blocks(raw);
          sink.end(server !== undefined);
        },
      },
      events: { member: () => {}, entry: () => {}, conflict: () => {}, log: () => {} },
    });
    const made = { node, outer, running: true };
    this.nodes[index] = made;
    node.start();
    return made;
  }

  isRunning({ address }: Endpoint): boolean {
    return this.nodes.some(({ outer, running }) => running && outer.at.address === address);
  }

  run(durationMs: number): void {
    for (const end = this.wire.nowMs + durationMs; this.wire.nowMs < end; ) {
      this.wire.nowMs += STEP_MS;
      for (const { node, running } of this.nodes) if (running) node.tick();
      this.wire.step();
    }
  }

  announce(index: number, mac: number): void {
    const item: Omit<MacItem, 'rank'> = { kind: ItemKind.Mac, vni: VNI, mac };
    this.nodes[index]?.node.announce(item);
  }

  withdraw(index: number, mac: number): void {
    this.nodes[index]?.node.withdraw({ kind: ItemKind.Mac, vni: VNI, mac });
  }

  /** What a node believes: who is there, and what is announced by whom. */
  beliefsOf(index: number): { hash: string; members: string[]; macs: string[] } {
    const node = this.nodes[index]?.node;
    const short = (id: NodeId): string => id.slice(0, 4);
    const members = node?.members().map(({ id, state, epoch }) => `${short(id)} ${state} ${epoch}`);
    const macs = node?.entries().map(({ item, owner }) => {
      return `${item.kind === ItemKind.Mac ? item.mac : '?'} at ${short(owner)}`;
    });
    return {
      hash: node?.summaryHash() ?? '',
      members: members?.sort() ?? [],
      macs: macs?.sort() ?? [],
    };
  }
}
