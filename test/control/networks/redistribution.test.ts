import t from 'tap';
import { Beyond } from '../../../src/control/speakers/gossip/networks/beyond.ts';
import { Redistribution } from '../../../src/control/speakers/redistribution.ts';
import type { NetworkSpec } from '../../../src/control/store/link-spec.ts';
import { sameAnnouncement } from '../../../src/gossip/base/keys.ts';
import type { Best, Claim, ClaimSource, EntryId, RibChange } from '../../../src/rib/entry.ts';
import { Rib } from '../../../src/rib/rib.ts';
import { decodeBlock, encodeBlock } from '../../../src/wire/gossip/block.ts';
import { type Item, ItemKind } from '../../../src/wire/gossip/types.ts';
import { NETWORK_BLOCK } from '../../vectors/gossip-samples.ts';

const SPEC: NetworkSpec = {
  ...{ name: 'br-blue', network: 'blue', encap: 'vxlan', device: 'fwn-100', vni: 100, port: 4789 },
  ...{ underlay: { address: 0xac1e0000, length: 16 }, local: 0xac1e001c, mac: 2 },
  ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
  ...{ bum: 'none', serviceNodes: [], guard: 'learn', replicator: false },
};
const link = SPEC.name;
const MAC: EntryId = { link, kind: 'mac', mac: 5 };
const [MEMBER, ROUTER] = [0xac1e011b, 0xac1e021a];

/** A rib whose changes are told on, and what each side is told. */
function make() {
  const rib = new Rib({ max: 100, ownerMax: 100 });
  const listeners: ((changes: readonly RibChange[]) => void)[] = [];
  const told: string[] = [];
  const side = (name: string) => ({
    relay: (_: NetworkSpec, id: EntryId, best: Best | undefined) => {
      if (best !== undefined) told.push(`${name} ${id.kind} ${best.sequence}`);
      else if (told.at(-1) !== `${name} none`) told.push(`${name} none`);
    },
  });
  const state = { isOn: true };
  const redistribution = new Redistribution({
    entries: {
      listen: (listener) => {
        listeners.push(listener);
        return () => false;
      },
      entries: (name, kind) => rib.entries(name, kind),
      get: (id) => rib.get(id),
    },
    ...{ gossip: side('gossip'), bgp: side('bgp'), networks: () => [SPEC] },
    isOn: () => state.isOn,
  });
  redistribution.refresh();
  let nowMs = 0;
  const say = (source: ClaimSource, id: EntryId, claim: Partial<Claim> | undefined): string[] => {
    told.length = 0;
    const whole = claim && { peer: ROUTER, owner: 'x', sequence: 0, mac: 0, ...claim };
    nowMs += 100_000;
    const changes = rib.update(source, [{ id, claim: whole }], nowMs);
    for (const listener of listeners) listener(changes);
    return told.filter((text) => !text.endsWith('none'));
  };
  return { redistribution, say, state, told };
}

t.test('each side is told what the other one says, and not its own word', async (t) => {
  const { say, told, state, redistribution } = make();
  t.same(say('bgp', MAC, { sequence: 1 }), ['gossip mac 1']);
  t.same(say('gossip', MAC, { peer: MEMBER, sequence: 2 }), ['bgp mac 2'], 'it moved to a member');
  t.ok(told.includes('gossip none'), 'and is a router’s no more');
  t.same(say('local', MAC, { sequence: 3 }), [], 'what is here is told by itself');
  t.same(say('local', MAC, undefined), ['bgp mac 2']);
  t.same(say('gossip', MAC, undefined), ['gossip mac 1']);
  told.length = 0;
  state.isOn = false;
  redistribution.refresh();
  t.same(told, ['bgp none', 'gossip none'], 'switched off, all of it is taken back');
});

t.test('no word comes back to where it came from', async (t) => {
  const { say } = make();
  const far = { sequence: 1, isRelayed: true };
  t.same(say('gossip', MAC, far), [], 'what another gateway told gossip');
  t.same(say('bgp', MAC, { sequence: 1 }), [], 'nor what BGP says beside it');
  const vtep: EntryId = { link, kind: 'vtep', member: MEMBER };
  say('gossip', vtep, { peer: MEMBER });
  const other: EntryId = { link, kind: 'mac', mac: 6 };
  t.same(say('bgp', other, { peer: MEMBER, sequence: 1 }), [], 'a member speaks for itself');
  t.same(say('gossip', vtep, undefined), ['gossip mac 1'], 'until it gossips no more');
});

t.test('an endpoint beyond gossip takes part while there is an entry at it', async (t) => {
  const beyond = new Beyond();
  t.same(beyond.place('a', 100, ROUTER), [ROUTER]);
  t.same(beyond.place('a', 100, ROUTER), []);
  t.same(beyond.place('b', 100, ROUTER), []);
  t.same(beyond.place('a', 100, MEMBER), [MEMBER]);
  t.same(beyond.place('b', 100, undefined), [ROUTER]);
  t.equal(beyond.has(100, MEMBER), true);
  t.equal(beyond.has(100, ROUTER), false);
  beyond.clear(100);
  t.equal(beyond.has(100, MEMBER), false);
});

t.test('gossip carries the endpoint of what is beyond it', async (t) => {
  const common = { vni: 100, rank: 3 };
  const six = 'fd000000000000000000000000000005';
  const items: Item[] = [
    { kind: ItemKind.Mac, ...common, mac: 5, host: ROUTER },
    { kind: ItemKind.StickyMac, ...common, mac: 6, host: six },
    { kind: ItemKind.MacAddress, ...common, mac: 5, address: 7, host: ROUTER },
    { kind: ItemKind.MacAddress6, ...common, mac: 5, address: six, host: six },
    { kind: ItemKind.Mac, ...common, mac: 9 },
  ];
  const block = { ...NETWORK_BLOCK, items };
  t.same(decodeBlock(encodeBlock(block)), block);
  const [one, , three] = items;
  for (const item of [one, three]) {
    if (item?.kind !== ItemKind.Mac && item?.kind !== ItemKind.MacAddress) continue;
    t.ok(sameAnnouncement(item, { ...item }));
    t.notOk(sameAnnouncement(item, { ...item, host: MEMBER }), 'another endpoint is news');
  }
});
