import t from 'tap';
import {
  ADDRESSES_MAX,
  PLACES_PER_SECOND,
  PORT_STATIONS_MAX,
  STATIONS_MAX,
  type Station,
  Stations,
} from '../../../src/control/networks/local/stations.ts';

const [MAC, OTHER] = [0x02_00_00_00_00_01, 0x02_00_00_00_00_02];
const [PORT, SECOND] = [7, 8];
const ADDRESS = 0x0a010001;

/** Stations, and what they told. */
function make(): { stations: Stations; take: () => string[] } {
  let told: string[] = [];
  const tell = (what: string) => (station: Station) => {
    told.push(`${what} ${station.mac % 16}`);
  };
  const stations = new Stations({
    ...{ appeared: tell('appeared'), left: tell('left') },
    ...{ bound: tell('bound'), unbound: tell('unbound') },
  });
  const take = (): string[] => {
    const was = told;
    told = [];
    return was;
  };
  return { stations, take };
}

t.test('a MAC comes with what the bridge learns and goes with its port', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, false, 0);
  stations.learned(MAC, PORT, false, 0);
  t.strictSame(take(), ['appeared 1'], 'told once');
  stations.bound(MAC, ADDRESS);
  stations.learned(MAC, SECOND, false, 0);
  t.strictSame(stations.ports(), [SECOND]);
  stations.portGone(PORT);
  t.strictSame(take(), ['bound 1'], 'it is behind another port by now');
  stations.portGone(SECOND);
  t.strictSame(take(), ['left 1']);
  t.equal(stations.ownerOf(ADDRESS), undefined);
  t.equal(stations.size, 0);
});

t.test('a silent station is asked, and stays while it is alone behind its port', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, false, 0);
  stations.aged(MAC, PORT, 1000);
  t.strictSame(take(), ['appeared 1'], 'silence is not absence');
  let asked = 0;
  for (let nowMs = 1000; nowMs < 9000; nowMs += 1000) asked += stations.due(nowMs).length;
  t.equal(asked, 3, 'three questions, then it is left in peace');
  t.equal(stations.get(MAC)?.state, 'silent');
  t.equal(stations.due(100_000).length, 1, 'for a while');
  stations.learned(MAC, PORT, false, 0);
  t.equal(stations.get(MAC)?.state, 'here', 'it answered');

  stations.learned(OTHER, PORT, false, 0);
  stations.aged(MAC, PORT, 200_000);
  take();
  for (let nowMs = 200_000; nowMs < 209_000; nowMs += 1000) stations.due(nowMs);
  t.strictSame(take(), ['left 1'], 'one of several goes');
});

t.test('a port without carrier announces nothing, and is asked when it is back', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, false, 0);
  stations.bound(MAC, ADDRESS);
  take();
  stations.portDown(PORT);
  t.strictSame(take(), ['left 1']);
  stations.bound(MAC, ADDRESS + 1);
  t.strictSame(take(), [], 'nothing is told of it');
  stations.portUp(PORT, 5000);
  t.strictSame(
    stations.due(5000).map(({ mac }) => mac),
    [MAC],
  );
  stations.learned(MAC, PORT, false, 0);
  t.strictSame(take(), ['appeared 1']);
  t.equal(stations.get(MAC)?.addresses.size, 2, 'with its addresses');
});

t.test('an address has one owner, and both lists have an end', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, false, 0);
  stations.learned(OTHER, PORT, false, 0);
  stations.bound(MAC, ADDRESS);
  take();
  stations.bound(OTHER, ADDRESS);
  t.strictSame(take(), ['unbound 1', 'bound 2']);
  t.equal(stations.ownerOf(ADDRESS)?.mac, OTHER);
  for (let i = 1; i <= ADDRESSES_MAX; i++) stations.bound(OTHER, ADDRESS + i);
  t.equal(stations.get(OTHER)?.addresses.size, ADDRESSES_MAX);
  t.equal(stations.ownerOf(ADDRESS), undefined, 'the oldest went');
});

t.test('a full port gives the place of whoever was heard of longest ago', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, true, 0);
  stations.learned(OTHER, PORT, false, 0);
  stations.bound(OTHER, ADDRESS);
  for (let i = 3; i <= PORT_STATIONS_MAX; i++) stations.learned(0x1000 + i, PORT, false, 0);
  t.equal(stations.size, PORT_STATIONS_MAX);
  stations.bound(OTHER, ADDRESS);
  take();
  stations.learned(0x9000, PORT, false, 0);
  t.strictSame(
    take(),
    ['left 3', 'appeared 0'],
    'not one that is written down, nor who spoke since',
  );
  t.ok(stations.get(0x9000));
  stations.aged(0x1000 + PORT_STATIONS_MAX, PORT, 0);
  stations.learned(0x9001, PORT, false, 0);
  t.notOk(stations.get(0x1000 + PORT_STATIONS_MAX), 'a silent one first');
  for (let i = 0; i < 10_000; i++) stations.learned(0xa0000 + i, PORT, false, 0);
  t.equal(stations.size, PORT_STATIONS_MAX, 'no more than before');
  t.equal(stations.refused, 10_002, 'counted');
  t.equal(take().length / 2, PLACES_PER_SECOND - 1, 'so many places change hands at once');
  stations.learned(0xb0000, PORT, false, 1000);
  t.ok(stations.get(0xb0000), 'and in a second');
  t.ok(stations.get(MAC));
  stations.learned(0xc0000, SECOND, false, 0);
  t.equal(stations.size, PORT_STATIONS_MAX + 1, 'another port has room');
});

t.test('a full network takes from its fullest port', async (t) => {
  const { stations } = make();
  const ports = STATIONS_MAX / PORT_STATIONS_MAX;
  for (let i = 0; i < STATIONS_MAX - 2; i++) stations.learned(0x1000 + i, i % ports, false, 0);
  stations.learned(MAC, 100, false, 0);
  stations.learned(OTHER, 101, false, 0);
  stations.learned(0x9000, 101, false, 0);
  t.equal(stations.size, STATIONS_MAX);
  t.ok(stations.get(0x9000), 'a port with few has its share');
  t.notOk(stations.get(0x1000), 'of the one that has most');
  t.ok(stations.get(MAC) && stations.get(OTHER));
});

t.test('what a predecessor knew is asked first', async (t) => {
  const { stations, take } = make();
  stations.restore(MAC, PORT, [ADDRESS], 0);
  t.strictSame(take(), ['appeared 1', 'bound 1'], 'announced at once');
  t.equal(stations.due(0).length, 1);
});
