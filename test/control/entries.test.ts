import t, { type Test } from 'tap';
import { EntryService } from '../../src/control/entries/entry-service.ts';
import { tableStatus } from '../../src/control/entries/views.ts';
import { EntryTable } from '../../src/control/plane/entry-table.ts';
import { GossipFeed } from '../../src/control/speakers/gossip/feed.ts';
import type { LinkSpec } from '../../src/control/store/link-spec.ts';
import { ENTRIES_PER_OWNER_MAX } from '../../src/limits.ts';
import { silentLog } from '../../src/log.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import type { ClaimUpdate } from '../../src/rib/entry.ts';
import type { ShareLimits } from '../../src/rib/shares.ts';
import { ItemKind } from '../../src/wire/gossip/types.ts';
import { NodeLab, peerRecord } from '../gossip/node-lab.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';

const UNDERLAY = parsePrefix('10.0.0.0/16');
const OVERLAY = parsePrefix('250.0.0.0/8');
const FIRST = 0x0a000001;
const SPEC: LinkSpec = {
  ...{ name: 'fan-250', device: 'fw-250', encap: 'vxlan', overlay: OVERLAY, underlay: UNDERLAY },
  ...{ local: FIRST, slice: parsePrefix('250.0.1.0/24'), gateway: 0xfa000101, vni: 0xfa0000 },
  ...{ port: 4789, underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16 },
  offload: 'auto',
};

/** A real table behind the service, with its link running. */
function make(t: Test, limits?: ShareLimits): { entries: EntryService; table: EntryTable } {
  const table = new EntryTable();
  table.bind(SPEC.name, 5);
  const entries = new EntryService({
    writer: {
      setEntry: (link, prefix, peer) => table.set(link, prefix, peer),
      deleteEntry: (link, prefix) => table.delete(link, prefix),
    },
    log: silentLog,
    ...(limits === undefined ? {} : { limits }),
  });
  t.teardown(() => {
    entries.close();
    table.close();
  });
  return { entries, table };
}

const single = (address: number) => ({ address, length: 32 });

const isLong = skipLong === false;
const each = isLong ? 16_000 : 400;
t.test(
  `nine members with ${each} prefixes each, and one that moves`,
  { timeout: 600_000 },
  async (t) => {
    const { entries, table } = make(t);
    const lab = new NodeLab();
    const feed = new GossipFeed(entries, () => [SPEC]);
    t.teardown(() => feed.close());
    const fans = (local: number) => [{ overlay: OVERLAY, underlay: UNDERLAY, local }];
    const here = lab.add([], {
      peer: { ...peerRecord(0), fans: fans(FIRST) },
      events: {
        member: () => {},
        entry: (change) => feed.entryChanged(change),
        record: (owner) => feed.recordChanged(owner),
        conflict: () => {},
        log: () => {},
      },
    });
    feed.follow(here.node);
    // They hear of this node only, which is enough to be heard.
    lab.passes = (from, to) => from === here || to === here;
    const address = (member: number, index: number): number =>
      0xfa000000 + member * 0x10000 + index;
    const item = (prefix: { address: number; length: number }) =>
      ({ kind: ItemKind.Prefix, vni: 0, ...prefix }) as const;
    for (let member = 1; member <= 9; member++) {
      const { node } = lab.add([here], {
        peer: { ...peerRecord(member), fans: fans(FIRST + member) },
      });
      for (let i = 0; i < each; i++) node.announce(item(single(address(member, i))));
    }
    for (let i = 0; i < 100 && here.node.sizes()['items']?.size !== 9 * each + 10; i++)
      lab.run(200);
    await until('all of them are in the table', 30_000, () => table.status().entries === 9 * each);
    t.match(entries.status(), { claims: 9 * each, refused: 0 });
    t.same(table.answer(SPEC.name, address(9, each - 1)), {
      ...{ prefix: single(address(9, each - 1)), peer: FIRST + 9 },
    });
    // Who knows that it is another's takes it over.
    here.node.announce(item(single(address(9, 7))));
    lab.run(400);
    await until('it has moved', 5000, () => {
      return table.answer(SPEC.name, address(9, 7))?.peer === FIRST;
    });
    here.node.updatePeer({ fans: fans(FIRST + 99) });
    lab.run(400);
    await until('its host has another address', 5000, () => {
      return table.answer(SPEC.name, address(9, 7))?.peer === FIRST + 99;
    });
  },
);

t.test(
  'beyond the limit the rest goes on changing, and status says whose is missing',
  async (t) => {
    // As many as there may be takes seconds to fill.
    const ownerMax = isLong ? ENTRIES_PER_OWNER_MAX : 64;
    const max = isLong ? 2 ** 18 : 1024;
    const { entries, table } = make(t, { max, ownerMax });
    const address = (owner: number, index: number): number => 0xfa000000 + owner * 0x10000 + index;
    const update = (owner: number, index: number, peer: number): ClaimUpdate => ({
      id: { link: SPEC.name, kind: 'prefix', ...single(address(owner, index)) },
      claim: { peer, owner: `node${owner}`, sequence: 0, mac: 0 },
    });
    const all = function* (owner: number, count: number): Generator<ClaimUpdate> {
      for (let i = 0; i < count; i++) yield update(owner, i, FIRST + owner);
    };
    entries.update('gossip', all(0, ownerMax + 5));
    const owners = max / ownerMax;
    for (let owner = 1; owner < owners; owner++) {
      entries.update('gossip', all(owner, ownerMax));
    }
    entries.update('gossip', all(owners, 3));
    const status = () => tableStatus(table.status(), entries.status(), (owner) => `name ${owner}`);
    t.match(status(), { entries: max, waiting: 0, refused: 8 });
    t.match(status().refusals, [
      { owner: 'node0', name: 'name node0', count: 5, cause: 'share' },
      { owner: `node${owners}`, count: 3, cause: 'table' },
    ]);
    entries.update('gossip', [update(3, 7, FIRST + 200)]);
    t.equal(table.answer(SPEC.name, address(3, 7))?.peer, FIRST + 200, 'what is there moves');
    const gone = [0, 1, 2].map((i) => ({ ...update(5, i, 0), claim: undefined }));
    entries.update('gossip', gone);
    t.equal(
      table.answer(SPEC.name, address(owners, 2))?.peer,
      FIRST + owners,
      'what waited came in',
    );
    t.match(status(), { entries: max, refused: 5 });
    entries.withdraw('gossip');
    t.match(status(), { entries: 0, peers: 0, refused: 0, refusals: [] });
  },
);
