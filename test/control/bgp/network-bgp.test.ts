import t from 'tap';
import type { EntrySink } from '../../../src/control/entries/entry-service.ts';
import { OwnEntries } from '../../../src/control/networks/local/own-entries.ts';
import { NetworkBgp } from '../../../src/control/speakers/bgp/network-bgp.ts';
import type { NetworkSpec } from '../../../src/control/store/link-spec.ts';
import { silentLog } from '../../../src/log.ts';
import type { EntryId } from '../../../src/rib/entry.ts';
import { Rib } from '../../../src/rib/rib.ts';
import { Lab, network } from '../../bgp/lab.ts';
import { sleep } from '../../support/patience.ts';

const [HERE, THERE] = [0x0a00_0001, 0x0a00_0002];
const SPEC: NetworkSpec = {
  ...{ name: 'br-blue', network: 'blue', encap: 'vxlan', device: 'fwn-100', vni: 100, port: 4789 },
  ...{ underlay: { address: 0x0a000000, length: 8 }, local: HERE, mac: 2 },
  ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
  ...{ bum: 'none', serviceNodes: [], guard: 'learn', replicator: false },
};
const MAC = 0x0200_0000_0001;
const ADDRESS = 0x0a64_0001;
const MAC_ID: EntryId = { link: SPEC.name, kind: 'mac', mac: MAC };
const VTEP_ID: EntryId = { link: SPEC.name, kind: 'vtep', member: THERE };
const GIVEN = { kind: 'mac', vni: 100, mac: MAC, sticky: false, gateway: false } as const;

/** One host with a network and a rib, and the speaker of another. */
function make() {
  const lab = new Lab();
  const any = [0, new Uint8Array(16)].map((address) => ({ address, length: 0 }));
  const [here, there] = lab.pair({ vteps: any });
  const rib = new Rib({ max: 1000, ownerMax: 1000 });
  let networks: NetworkSpec[] = [SPEC];
  const sink: EntrySink = {
    update: (source, updates) => void rib.update(source, updates, lab.time.nowMs),
    withdraw: (source, link) => void rib.withdraw(source, link, lab.time.nowMs),
  };
  const own = new OwnEntries({
    best: (id) => rib.get(id),
    isHeld: (id) => rib.isHeld(id),
    isContested: (id) => rib.isContested(id),
    nowMs: () => lab.time.nowMs,
    update: (updates) => rib.update('local', updates, lab.time.nowMs),
  });
  const bgp = new NetworkBgp({ sink, own, networks: () => networks, log: silentLog });
  for (const { speaker } of [here, there]) speaker.start();
  lab.run(2000);
  /** What the speaker told reaches the rib. */
  const settle = async (): Promise<void> => {
    lab.run(1000);
    for (const change of here.changes.splice(0)) bgp.changed(change);
    await sleep(5);
  };
  const told = (): string[] =>
    [...there.speaker.imports.entries(100)]
      .map(({ entry, place }) => `${entry.kind} ${place.sequence}`)
      .sort();
  const set = (...specs: NetworkSpec[]): void => {
    networks = specs;
    here.speaker.setNetworks(specs.map(({ vni }) => network(vni)));
    bgp.refresh();
  };
  return { lab, here, there, rib, own, bgp, settle, told, set };
}

const station = (address?: number) => ({ spec: SPEC, mac: MAC, address, isSticky: false });

t.test('what is here is told, a MAC and its addresses with one number', async (t) => {
  const { here, own, bgp, settle, told, set } = make();
  own.add(station());
  await settle();
  t.same(told(), [], 'nothing while no speaker is followed');
  bgp.follow(here.speaker);
  own.add(station(ADDRESS));
  await settle();
  t.same(told(), ['address 0', 'mac 0']);
  own.remove(MAC_ID);
  await settle();
  t.same(told(), ['address 0', 'mac 0'], 'its address still says where it is');
  own.remove({ link: SPEC.name, kind: 'mac+ip', address: ADDRESS });
  await settle();
  t.same(told(), []);
  set({ ...SPEC, bum: 'replicate' });
  await settle();
  t.same(told(), ['flood 0'], 'a host that wants floods says so');
  set({ ...SPEC, name: 'br-red' });
  await settle();
  t.same(told(), [], 'and no more when the network is another');
});

t.test('an address that moved takes the number of its MAC along', async (t) => {
  const { here, there, own, bgp, settle, told } = make();
  bgp.follow(here.speaker);
  own.add(station());
  await settle();
  there.speaker.announce({ ...GIVEN, mac: MAC + 1, ip: ADDRESS, sequence: 4 });
  await settle();
  own.add(station(ADDRESS));
  await settle();
  t.same(told(), ['address 5', 'mac 5']);
  for (const entry of own.all()) {
    entry.sequence = 0;
    bgp.renew(entry);
  }
  await settle();
  t.same(told(), ['address 0', 'mac 0'], 'and has none any more when that is over');
});

t.test('what others tell are claims, and their endpoints take part', async (t) => {
  const { here, there, rib, bgp, settle, set } = make();
  there.speaker.announce({ ...GIVEN, ip: null, sequence: 3 });
  await settle();
  bgp.follow(here.speaker);
  await settle();
  t.match(rib.get(MAC_ID), { source: 'bgp', peer: THERE, owner: '10.0.0.2', sequence: 3 });
  t.match(rib.get(VTEP_ID), { peer: THERE });
  there.speaker.announce({ ...GIVEN, ip: ADDRESS, sequence: 3, gateway: true });
  there.speaker.announce({ kind: 'flood', vni: 100 });
  await settle();
  const binding = { link: SPEC.name, kind: 'mac+ip', address: ADDRESS } as const;
  t.match(rib.get(binding), { mac: MAC, peer: THERE, isRouter: true });
  t.match(rib.get({ link: SPEC.name, kind: 'flood', member: THERE }), { peer: THERE });
  there.speaker.withdraw({ ...GIVEN, ip: ADDRESS, sequence: 3, gateway: true });
  there.speaker.withdraw({ kind: 'flood', vni: 100 });
  await settle();
  t.match(rib.get(VTEP_ID), { peer: THERE }, 'the MAC is still there');
  there.speaker.announce({ ...GIVEN, ip: null, sequence: 0, sticky: true });
  await settle();
  t.match(rib.get(MAC_ID), { isSticky: true });
  there.speaker.withdraw({ ...GIVEN, ip: null, sequence: 0 });
  await settle();
  t.equal(rib.get(MAC_ID), undefined);
  t.equal(rib.get(VTEP_ID), undefined, 'with the last of it the endpoint goes');
  there.speaker.announce({ ...GIVEN, ip: null, sequence: 3 });
  await settle();
  set();
  t.same([...rib.all()], [], 'a network that goes takes all along');
  set(SPEC);
  await settle();
  t.match(rib.get(MAC_ID), { peer: THERE }, 'and finds it again');
  bgp.follow(undefined);
  t.same([...rib.all()], []);
});

t.test('our own bridge is the default gateway where it is said so', async (t) => {
  const { here, there, own, bgp, settle } = make();
  bgp.follow(here.speaker);
  own.add({ ...station(ADDRESS), mac: SPEC.mac });
  own.add(station(ADDRESS + 1));
  const gateways = (): number[] =>
    [...there.speaker.imports.entries(100)].flatMap(({ entry, place }) =>
      entry.kind === 'address' && place.gateway ? [Number(entry.ip)] : [],
    );
  await settle();
  t.same(gateways(), []);
  here.speaker.setNetworks([{ ...network(100), isGateway: true }]);
  bgp.refresh();
  await settle();
  t.same(gateways(), [ADDRESS]);
});

t.test('the label is what is sent, where it is another VNI than ours', async (t) => {
  const { here, there, rib, bgp, settle } = make();
  bgp.follow(here.speaker);
  const exportTargets = [{ form: 0, administrator: 65000, assigned: 100 }] as const;
  there.speaker.setNetworks([{ ...network(777), exportTargets }]);
  there.speaker.announce({ ...GIVEN, vni: 777, ip: ADDRESS, sequence: 3 });
  there.speaker.announce({ kind: 'flood', vni: 777 });
  await settle();
  t.match(rib.get(MAC_ID), { peer: THERE, label: 777 });
  t.match(rib.get({ link: SPEC.name, kind: 'flood', member: THERE }), { label: 777 });
  const binding = rib.get({ link: SPEC.name, kind: 'mac+ip', address: ADDRESS });
  t.same([binding?.mac, binding?.label], [MAC, undefined]);
  there.speaker.setNetworks([{ ...network(100), exportTargets }]);
  there.speaker.announce({ ...GIVEN, ip: ADDRESS, sequence: 4 });
  await settle();
  t.same(rib.get(MAC_ID)?.label, undefined, 'and ours again when it says so');
  t.equal(bgp.unreachable, 0);
});

t.test('where no way leads nothing is sent, and it is counted', async (t) => {
  const { here, there, rib, bgp, settle } = make();
  bgp.follow(here.speaker);
  const vtep = new Uint8Array(16).fill(0xfd);
  there.speaker.announce({ ...GIVEN, ip: null, sequence: 0, vtep });
  await settle();
  t.same([...rib.all()], [], 'an endpoint of the other family');
  t.equal(bgp.unreachable, 1);
});
