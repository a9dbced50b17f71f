/**
 * A container that invents a million MACs: what the data process and the tables of its host make of it.
 * @module
 */
import t from 'tap';
import { OwnEntries } from '../../src/control/networks/local/own-entries.ts';
import {
  PLACES_PER_SECOND,
  PORT_STATIONS_MAX,
  Stations,
} from '../../src/control/networks/local/stations.ts';
import type { NetworkSpec } from '../../src/control/store/link-spec.ts';
import type { EntryId } from '../../src/rib/entry.ts';
import { Rib } from '../../src/rib/rib.ts';
import { EventKind } from '../../src/table/events.ts';
import { FdbFlag } from '../../src/table/fdb.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { ethernet, ipv4, udp } from '../support/bytes.ts';
import { Fabric } from '../support/fabric.ts';
import { LanRouter, settle } from '../support/lan.ts';
import { skipLong } from '../support/long.ts';

const MILLION = 1_000_000;
/** Frames through a whole data process; the rest of them where there is time. */
const FRAMES = skipLong === false ? MILLION : MILLION / 20;
const BURST = 100;
const [HERE, THERE] = [0xac1e_0001, 0xac1e_0002];
const [NEAR, FAR, STICKY] = [0x0242_0000_000a, 0x0242_0000_000b, 0x0242_0000_000c];
const [IP_NEAR, IP_FAR] = [0x0a00_000a, 0x0a00_000b];
const inventedOf = (i: number): number => 0x0600_0000_0000 + i;

t.test(`${FRAMES} frames, each of another MAC, beside an honest container`, async (t) => {
  const fabric = new Fabric();
  const networks = [{ vni: 100 }];
  const [a, b] = [HERE, THERE].map((local) => new LanRouter(fabric, local, networks));
  if (a === undefined || b === undefined) throw new Error('two routers');
  for (const router of [a, b]) {
    router.admit(0, router.local === HERE ? THERE : HERE);
    router.station(0, HERE, NEAR, [ipv4Bytes(IP_NEAR)]);
    router.station(0, THERE, FAR, [ipv4Bytes(IP_FAR)]);
    router.station(0, THERE, STICKY, [], { fdb: FdbFlag.Sticky });
  }
  const entries = a.tables.fdbWriter.count;
  const frame = (source: number, sourceIp: number): Buffer => {
    const ends = { source: sourceIp, destination: IP_FAR };
    return ethernet(FAR, source, 0x0800, ipv4(ends, udp(ends, { destinationPort: 9 })));
  };
  const invented = Array.from({ length: BURST }, () => frame(inventedOf(0), 0x0a00_0063));
  const honest = frame(NEAR, IP_NEAR);
  let [sent, arrived, told] = [0, 0, 0];
  for (let i = 0; i < FRAMES; i += BURST) {
    for (const [j, each] of invented.entries()) {
      each.writeUIntBE(inventedOf(i + j), 6, 6);
      a.send(0, each);
    }
    a.send(0, honest);
    sent += 1;
    settle([a, b]);
    const out = b.received(0);
    arrived += out.filter((got) => Buffer.from(got).readUIntBE(6, 6) === NEAR).length;
    told += a.events().filter(({ kind }) => kind === EventKind.LocalMac).length;
  }
  t.ok(sent - arrived <= sent / 1000, `the honest one: ${arrived} of ${sent}`);
  t.equal(a.tables.fdbWriter.count, entries, 'not one entry came or went');
  t.equal(a.tables.fdbWriter.get(0, FAR)?.peer, a.peer(THERE));
  t.equal(a.tables.fdbWriter.get(0, STICKY)?.flags, FdbFlag.Sticky);
  const counters = a.counters();
  t.equal(counters['egress.received'], FRAMES + sent);
  t.equal(counters['event.events_lost'], 0, 'control is not swamped');
  t.equal(told + (counters['event.events_limited'] ?? 0), FRAMES, 'each is told, or counted');
  t.equal(a.unaccounted(0) + b.unaccounted(0), 0);
});

t.test(`the bridge learns ${MILLION} MACs behind one port`, async (t) => {
  const [port, other] = [7, 8];
  const rib = new Rib({ max: 262_144, ownerMax: 65_536 });
  const idOf = (mac: number): EntryId => ({ link: 'br-blue', kind: 'mac', mac });
  const own = new OwnEntries({
    best: (id) => rib.get(id),
    isHeld: (id) => rib.isHeld(id),
    isContested: (id) => rib.isContested(id),
    nowMs: () => 0,
    update: (updates) => rib.update('local', updates, 0),
  });
  let announced = 0;
  own.addSpeaker({
    announce: ({ sequence }) => {
      announced += 1;
      return sequence;
    },
    renew: ({ sequence }) => sequence,
    withdraw: () => undefined,
  });
  const spec: NetworkSpec = {
    ...{ name: 'br-blue', network: 'blue', encap: 'vxlan', device: 'fwn-100', vni: 100 },
    ...{ port: 4789, underlay: { address: HERE, length: 16 }, local: HERE, mac: 2, dscp: 'pipe' },
    ...{ underlayMtu: 1500, innerMtu: 1450, sourcePorts: 16, offload: 'auto', bum: 'none' },
    ...{ serviceNodes: [], guard: 'learn', replicator: false },
  };
  const stations = new Stations({
    appeared: ({ mac, isSticky }) => own.add({ spec, mac, address: undefined, isSticky }),
    left: ({ mac }) => own.remove(idOf(mac)),
    bound: () => undefined,
    unbound: () => undefined,
  });
  const remote = Array.from({ length: 1000 }, (_, i) => {
    const claim = { peer: THERE, owner: 'b', sequence: 0, mac: 0, isSticky: i % 10 === 0 };
    return { id: idOf(0x0200_0000_0000 + i), claim };
  });
  rib.update('gossip', remote, 0);
  stations.learned(NEAR, other, false, 0);
  // A hundred in a millisecond.
  for (let i = 0; i < MILLION; i++) stations.learned(inventedOf(i), port, false, i / 100);
  t.equal(stations.size, PORT_STATIONS_MAX + 1);
  t.equal(stations.refused, MILLION - PORT_STATIONS_MAX, 'all others are counted');
  const places = announced - PORT_STATIONS_MAX - 1;
  t.ok(places >= PLACES_PER_SECOND, 'the oldest give their place');
  t.ok(
    places <= 11 * PLACES_PER_SECOND,
    `${places} times in ten seconds, and others hear of no more`,
  );
  t.equal(rib.status().entries, remote.length + PORT_STATIONS_MAX + 1);
  const kept = remote.filter(({ id }) => rib.get(id)?.peer === THERE);
  t.equal(kept.length, remote.length, 'none that is elsewhere, or sticky, gave way');
  stations.learned(FAR, other, false, 0);
  t.equal(rib.get(idOf(FAR))?.source, 'local', 'other ports have their own room');
  // Invented ones say nothing again: they go, and whoever is really there finds room.
  const behind = [...stations.all()].filter((station) => station.port === port);
  for (const { mac } of behind) stations.aged(mac, port, 0);
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 1000) stations.due(nowMs);
  stations.learned(STICKY, port, false, 60_000);
  t.equal(rib.get(idOf(STICKY))?.source, 'local');
  t.ok(stations.size <= 4, `${stations.size} are left`);
});
