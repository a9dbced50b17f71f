import t from 'tap';
import { ed25519Signer } from '../../src/gossip/base/signer.ts';
import { encodeBlock } from '../../src/wire/gossip/block.ts';
import { EPOCH_MAX } from '../../src/wire/gossip/bounds.ts';
import { encodeMessages } from '../../src/wire/gossip/message.ts';
import { type Block, ItemKind, MessageType, type RawBlock } from '../../src/wire/gossip/types.ts';
import { Random } from '../fuzz/mutate.ts';
import { type LabNode, NodeLab, peerRecord } from './node-lab.ts';

/** Blocks in another member's name, of all kinds together. */
const FORGED = Number(process.env['FANWAY_FORGED'] ?? 100_000);
const BLOCKS_PER_PAYLOAD = 4;
const VNI = 100;

/** As NodeLab makes them. */
const signerOf = (index: number) => ed25519Signer(new Uint8Array(32).fill(index + 1));

function beliefsOf({ node }: LabNode): unknown {
  return {
    hash: node.summaryHash(),
    entries: node.entries(),
    members: node.members().map(({ id, name, state, epoch, sequence, endpoints }) => {
      return { id, name, state, epoch, sequence, endpoints };
    }),
    conflicts: node.conflicts(),
    sizes: node.sizes(),
  };
}

t.test(`a member speaks for another: ${FORGED} blocks, and nothing is believed`, async (t) => {
  const lab = new NodeLab();
  const victim = lab.add([]);
  const liar = lab.add([victim]);
  const witness = lab.add([victim]);
  victim.node.announce({ kind: ItemKind.Mac, vni: VNI, mac: 1 });
  lab.run(15_000);
  t.equal(witness.node.entries().length, 1);

  const [theirs, ours] = [signerOf(0), signerOf(1)];
  const real = [...witness.node.serve([{ owner: victim.node.id, epoch: 1, ranges: [[1, 99]] }])];
  const known = real.flat();
  t.ok(known.length > 0);
  const random = new Random(3);
  const block = (fields: Partial<Block>): Uint8Array =>
    encodeBlock({
      ...{ publicKey: theirs.publicKey, epoch: 1, sequence: 100, live: [], left: false },
      items: [
        { kind: ItemKind.Peer, ...peerRecord(66), instance: new Uint8Array(8) },
        { kind: ItemKind.Mac, vni: VNI, rank: 7, mac: 2 },
      ],
      ...fields,
    });
  const noise = (): Uint8Array => Uint8Array.from({ length: 64 }, () => random.below(256));
  const later = (): number => 100 + random.below(1_000_000);
  const bodies = Array.from({ length: 50 }, () => block({ sequence: later() }));
  const leaving = block({ epoch: EPOCH_MAX, left: true, items: [] });
  const signed = [...bodies, leaving].map((body) => ({ body, signature: ours.sign(body) }));
  const taken = block({ publicKey: ours.publicKey, epoch: 9, sequence: 9 });
  const kinds: (() => RawBlock)[] = [
    // Signed by the liar, in the victim's name; the last one is a farewell for good.
    () => random.pick(signed),
    // The victim's signature under something else, and nobody's.
    () => ({ body: random.pick(bodies), signature: random.pick(known).signature }),
    () => ({ body: random.pick(bodies), signature: noise() }),
    // The victim's signature under the liar's own name.
    () => ({ body: taken, signature: random.pick(known).signature }),
    // A goodbye that the victim never said.
    () => ({ body: leaving, signature: random.pick(known).signature }),
  ];

  const before = beliefsOf(witness);
  const counters = witness.node.counters;
  const refused = counters.value('blocks.refused.signature');
  const [isNew, sent] = [counters.value('blocks.new'), counters.value('datagrams.sent')];
  for (let count = 0; count < FORGED; count += BLOCKS_PER_PAYLOAD) {
    const blocks = Array.from({ length: BLOCKS_PER_PAYLOAD }, (_, index) => {
      return (kinds[(count + index) % kinds.length] as () => RawBlock)();
    });
    const payload = encodeMessages([{ type: MessageType.Blocks, blocks }]);
    witness.node.receive(liar.endpoint, liar.node.id, payload);
  }
  t.equal(counters.value('blocks.refused.signature') - refused, FORGED, 'each is counted');
  t.equal(counters.value('blocks.new'), isNew);
  t.equal(counters.value('datagrams.sent'), sent, 'and none is answered');
  t.same(beliefsOf(witness), before);
  lab.run(5000);
  t.same(witness.node.entries(), victim.node.entries());
  t.equal(witness.node.summaryHash(), victim.node.summaryHash());
});
