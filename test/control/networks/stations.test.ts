import t from 'tap';
import {
  ADDRESSES_MAX,
  PORT_STATIONS_MAX,
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
  stations.learned(MAC, PORT, false);
  stations.learned(MAC, PORT, false);
  t.strictSame(take(), ['appeared 1'], 'told once');
  stations.bound(MAC, ADDRESS);
  stations.learned(MAC, SECOND, false);
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
  stations.learned(MAC, PORT, false);
  stations.aged(MAC, PORT, 1000);
  t.strictSame(take(), ['appeared 1'], 'silence is not absence');
  let asked = 0;
  for (let nowMs = 1000; nowMs < 9000; nowMs += 1000) asked += stations.due(nowMs).length;
  t.equal(asked, 3, 'three questions, then it is left in peace');
  t.equal(stations.get(MAC)?.state, 'silent');
  t.equal(stations.due(100_000).length, 1, 'for a while');
  stations.learned(MAC, PORT, false);
  t.equal(stations.get(MAC)?.state, 'here', 'it answered');

  stations.learned(OTHER, PORT, false);
  stations.aged(MAC, PORT, 200_000);
  take();
  for (let nowMs = 200_000; nowMs < 209_000; nowMs += 1000) stations.due(nowMs);
  t.strictSame(take(), ['left 1'], 'one of several goes');
});

t.test('a port without carrier announces nothing, and is asked when it is back', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, false);
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
  stations.learned(MAC, PORT, false);
  t.strictSame(take(), ['appeared 1']);
  t.equal(stations.get(MAC)?.addresses.size, 2, 'with its addresses');
});

t.test('an address has one owner, and both lists have an end', async (t) => {
  const { stations, take } = make();
  stations.learned(MAC, PORT, false);
  stations.learned(OTHER, PORT, false);
  stations.bound(MAC, ADDRESS);
  take();
  stations.bound(OTHER, ADDRESS);
  t.strictSame(take(), ['unbound 1', 'bound 2']);
  t.equal(stations.ownerOf(ADDRESS)?.mac, OTHER);
  for (let i = 1; i <= ADDRESSES_MAX; i++) stations.bound(OTHER, ADDRESS + i);
  t.equal(stations.get(OTHER)?.addresses.size, ADDRESSES_MAX);
  t.equal(stations.ownerOf(ADDRESS), undefined, 'the oldest went');
  for (let i = 0; i < PORT_STATIONS_MAX; i++) stations.learned(0x100 + i, PORT, false);
  t.equal(stations.size, PORT_STATIONS_MAX);
  t.equal(stations.refused, 2, 'counted');
  stations.learned(0x9000, SECOND, false);
  t.equal(stations.size, PORT_STATIONS_MAX + 1, 'another port has room');
});

t.test('what a predecessor knew is asked first', async (t) => {
  const { stations, take } = make();
  stations.restore(MAC, PORT, [ADDRESS], 0);
  t.strictSame(take(), ['appeared 1', 'bound 1'], 'announced at once');
  t.equal(stations.due(0).length, 1);
});
