/**
 * A partition of four hosts into two and two, whoever makes it.
 * @module
 */
import type { Test } from 'tap';
import type { LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { sleep } from '../../support/patience.ts';
import {
  allAlive,
  type Cluster,
  equalTables,
  gossipOf,
  prefixesOf,
  runFanway,
  seenAs,
  until,
} from './cluster.ts';

/** An address of a host's slice. */
const inSlice = (host: LabHost, last: number): string =>
  formatIpv4((0xfa000000 | ((host.address & 0xffff) << 8) | last) >>> 0);

/**
 * What a partition must not spoil: entries withdrawn in it stay withdrawn, entries announced in it
 * are known after it, and nobody has to do anything for it to heal.
 */
export async function partition(
  t: Test,
  { lab, hosts }: Cluster,
  cut: () => Promise<void>,
  heal: () => Promise<void>,
): Promise<void> {
  const [a, b, c, d] = [lab.host(0), lab.host(1), lab.host(2), lab.host(3)];
  const [early, later] = [inSlice(c, 20), inSlice(a, 21)];
  await runFanway(a, ['announce', early]);
  await until('it is known', async () =>
    (await Promise.all(hosts.map(prefixesOf))).every((table) => table.length === 1),
  );
  const ids = new Map<LabHost, string>();
  for (const host of hosts) ids.set(host, (await gossipOf(host)).id);

  await cut();
  const times: number[] = [];
  for (const [side, others] of [
    [
      [a, b],
      [c, d],
    ],
    [
      [c, d],
      [a, b],
    ],
  ] as const) {
    for (const other of others) times.push(await seenAs(side, ids.get(other) ?? '', ['dead']));
    for (const own of side) await seenAs(side, ids.get(own) ?? '', ['alive', 'suspect']);
  }
  t.comment(`the other side is given up after ${times.reduce((sum, ms) => sum + ms, 0)} ms in all`);
  await runFanway(a, ['withdraw', early]);
  await runFanway(d, ['announce', later]);

  await heal();
  t.comment(`healed after ${await allAlive(hosts)} ms`);
  await until('withdrawn stays withdrawn, announced is known', async () =>
    (await Promise.all(hosts.map(prefixesOf))).every(
      (table) => table.length === 1 && table[0] === `${later}/32 host4`,
    ),
  );
  t.comment(`equal tables after ${await equalTables(hosts)} ms more`);
  await sleep(3000);
  for (const host of hosts) t.same(await prefixesOf(host), [`${later}/32 host4`], host.name);
  t.equal((await gossipOf(a)).epoch, 1, 'nobody had to start anew');
}
