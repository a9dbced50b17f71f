import t from 'tap';
import { SealedLab } from './sealed-lab.ts';

const NODES = 64;

function hashes(lab: SealedLab): Set<string> {
  return new Set(lab.nodes.map((_, index) => lab.beliefsOf(index).hash));
}

function sumOf(lab: SealedLab, name: 'challenges.sent' | 'sealed.limited.strangers'): number {
  return lab.nodes.reduce((sum, { outer }) => sum + outer.count(name), 0);
}

t.test(`${NODES} sealed nodes start at once, and restart at once`, async (t) => {
  const lab = new SealedLab(NODES);
  for (const what of ['start', 'restart']) {
    const startMs = lab.wire.nowMs;
    const isOne = (): boolean =>
      hashes(lab).size === 1 && lab.nodes.every(({ node }) => node.members().length === NODES);
    while (!isOne() && lab.wire.nowMs - startMs < 15_000) lab.run(500);
    t.ok(isOne(), `${what}: ${(lab.wire.nowMs - startMs) / 1000} s of virtual time`);
    lab.run(10_000);
    const states = lab.nodes.flatMap(({ node }) => node.members().map(({ state }) => state));
    t.ok(states.every((state) => state === 'alive'));
    t.comment(`${sumOf(lab, 'challenges.sent')} challenges, ${lab.wire.recorded.length} datagrams`);
    t.equal(sumOf(lab, 'sealed.limited.strangers'), 0);
    lab.wire.recorded.length = 0;
    if (what === 'start') for (let index = 0; index < NODES; index++) lab.start(index);
  }
});
