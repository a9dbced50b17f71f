import { spawnSync } from 'node:child_process';
import t from 'tap';
import type { Lab } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { findNft } from '../../../src/sys/host/nft.ts';
import { sleep } from '../../support/patience.ts';
import { skipWithoutTun } from '../privileges.ts';
import { allAlive, equalTables, eventsOf, startCluster } from './cluster.ts';
import { partition } from './split.ts';

const nft = findNft();
const skipNft = skipWithoutTun() || (nft === undefined && 'needs nft (package nftables)');

/** Loads rules in the middle namespace. */
function rules(lab: Lab, text: string): void {
  const run = lab.middle.run(() => spawnSync(nft ?? '', ['-f', '-'], { input: text }));
  if (run.status !== 0) throw new Error(run.stderr.toString());
}

/** The pairs of hosts, by index, between which the middle drops what goes from the first to the second. */
function dropped(lab: Lab, pairs: readonly (readonly [number, number])[]): string {
  const addresses = pairs.map(
    ([from, to]) => `${formatIpv4(lab.host(from).address)} . ${formatIpv4(lab.host(to).address)}`,
  );
  return `
table ip cut
delete table ip cut
table ip cut {
  set pairs { type ipv4_addr . ipv4_addr; elements = { ${addresses.join(', ')} } }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @pairs drop
  }
}`;
}
const HEALED = 'table ip cut\ndelete table ip cut';

t.test('half and half, by nftables, and back', { skip: skipNft }, async (t) => {
  const cluster = await startCluster(t, { hosts: 4, middle: 'routed' });
  const { lab } = cluster;
  const both = [0, 1].flatMap((x) => [2, 3].flatMap((y) => [[x, y] as const, [y, x] as const]));
  await partition(
    t,
    cluster,
    async () => rules(lab, dropped(lab, both)),
    async () => rules(lab, HEALED),
  );
});

t.test(
  'one-way and partial: nobody is lost who can be asked about',
  { skip: skipNft },
  async (t) => {
    const { lab, hosts } = await startCluster(t, { hosts: 4, middle: 'routed' });
    // What the first sends to the second is lost; both hear the other two.
    rules(lab, dropped(lab, [[0, 1]]));
    await sleep(12_000);
    for (const host of hosts) {
      const dead = (await eventsOf(host)).filter(({ to }) => to === 'dead');
      t.same(dead, [], `${host.name} has given up nobody`);
    }
    rules(lab, HEALED);
    t.comment(`all alive after ${await allAlive(hosts)} ms`);
    t.comment(`equal tables after ${await equalTables(hosts)} ms`);
  },
);
