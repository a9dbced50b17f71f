import t from 'tap';
import { keptClaims } from '../../../src/control/networks/kept.ts';
import { Estate } from '../../../src/control/plane/process/estate.ts';
import { NOTHING_KEPT } from '../../../src/control/plane/tables/predecessor.ts';
import { silentLog } from '../../../src/log.ts';
import { Rib } from '../../../src/rib/rib.ts';

const [HOST, OTHER] = [0xac1e_011b, 0xac1e_021a];
const MAC = 0x0200_0000_0001;

t.test('what was kept counts until anybody says anything else', async (t) => {
  const rib = new Rib({ max: 100, ownerMax: 100 });
  const kept = keptClaims('br-blue', {
    ...{ vni: 100, port: 4789 },
    macs: [{ mac: MAC, host: HOST, label: 7, isSticky: true, isRouter: false }],
    bindings: [{ address: 7, mac: MAC, host: HOST, isRouter: true }],
    vteps: [{ host: HOST, isReplicator: true }],
    floods: [{ host: HOST, label: 7 }],
    here: { macs: [], bindings: [] },
  });
  rib.update('kept', kept, 0);
  const link = 'br-blue';
  t.match(rib.get({ link, kind: 'mac', mac: MAC }), {
    peer: HOST,
    source: 'kept',
    isSticky: true,
    label: 7,
  });
  t.match(rib.get({ link, kind: 'mac+ip', address: 7 }), { mac: MAC, isRouter: true });
  t.match(rib.get({ link, kind: 'vtep', member: HOST }), { isReplicator: true });
  t.match(rib.get({ link, kind: 'flood', member: HOST }), { peer: HOST, label: 7 });
  const claim = { peer: OTHER, owner: 'b', sequence: 0, mac: 0 };
  rib.update('learned', [{ id: { link, kind: 'mac', mac: MAC }, claim }], 1);
  t.match(rib.get({ link, kind: 'mac', mac: MAC }), { peer: OTHER }, 'even what was overheard');
  const changes = rib.update(
    'bgp',
    [{ id: { link, kind: 'flood', member: HOST }, claim: { ...claim, peer: HOST } }],
    2,
  );
  t.match(changes, [{ before: { source: 'kept' }, after: { source: 'bgp', peer: HOST } }]);
  rib.withdraw('kept', undefined, 3);
  t.same([...rib.all()].map(({ best }) => best.source).sort(), ['bgp', 'learned']);
});

t.test('where nobody runs nothing is kept', async (t) => {
  const estate = await Estate.open('/nonexistent', 1, silentLog);
  t.equal(estate.kept, NOTHING_KEPT);
  t.equal(estate.isAwaited, false);
  await estate.end([]);
});
