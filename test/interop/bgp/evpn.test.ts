import t from 'tap';
import type { OwnRoute } from '../../../src/bgp/rib/own-routes.ts';
import { ATTRIBUTE_ROWS } from '../../../src/wire/bgp/attributes.ts';
import { emitReach, emitUnreach } from '../../../src/wire/bgp/emit-update.ts';
import { MessageType } from '../../../src/wire/bgp/iana.ts';
import { emitOpen, parseOpen } from '../../../src/wire/bgp/open.ts';
import { parseUpdate } from '../../../src/wire/bgp/update.ts';
import { neighbourSettings } from '../../bgp/lab.ts';
import { skipWithoutNamespaces } from '../../netns/privileges.ts';
import { PATIENCE, until } from '../../support/patience.ts';
import { noPing } from '../../support/tools.ts';
import { buildFabric, MD5_KEY, OUTSIDE_AS } from './fabric.ts';
import { ask, whyNoFrr, whyNoGobgp } from './routers.ts';
import { type RealSpeaker, startSpeaker } from './speaker.ts';

const skip = skipWithoutNamespaces() || whyNoFrr() || whyNoGobgp() || noPing();
t.setTimeout(1_200_000);

const MAC: Extract<OwnRoute, { kind: 'mac' }> = {
  ...{ kind: 'mac', vni: 100, mac: 0x0200_0000_0001, ip: null, sequence: 0 },
  ...{ sticky: false, gateway: false },
};

t.test('EVPN among FRR and GoBGP', { skip }, async (t) => {
  const fabric = await buildFabric();
  t.teardown(() => fabric.close());
  const { addresses, host, gobgp, reflector, vtep, outside, lab } = fabric;
  const inside = (address: string, passive = false) =>
    neighbourSettings({ address, passive, holdSeconds: 9, connectRetrySeconds: 2 });
  const start = (more: Parameters<typeof startSpeaker>[1] | object = {}): Promise<RealSpeaker> =>
    startSpeaker(host, {
      staleSeconds: 3,
      neighbours: [
        inside(addresses.gobgp),
        // FRR dials: we only wait.
        inside(addresses.reflector, true),
        neighbourSettings({
          ...{ address: addresses.outside, as: OUTSIDE_AS, connectRetrySeconds: 2 },
          ...{ md5Password: MD5_KEY, import: 'all', export: 'all' },
        }),
      ],
      ...more,
    });
  let fanway = await start();
  t.teardown(() => fanway.close());
  const isUp = (address: string): boolean =>
    fanway.speaker.neighbour(address)?.state === 'Established';
  const up = (address: string, ms = 15_000) =>
    until(`a session with ${address}`, ms, () => isUp(address));
  const has = (text: RegExp) => fanway.entries().some((entry) => text.test(entry));
  const frrHas = async (router: typeof vtep, text: string): Promise<boolean> =>
    (await router.show('show bgp l2vpn evpn')).includes(text);
  /** The container behind FRR's bridge is heard, and so announced. */
  const speak = () =>
    ask(lab.container(3).host, 'true', []).then(() => {
      lab.container(3).spawn('ping', ['-c', '2', '-W', '1', '10.100.0.99'], { stdio: 'ignore' });
    });

  await t.test('sessions: dialled, taken, with a key, to an AS of four octets', async (t) => {
    await Promise.all([up(addresses.gobgp), up(addresses.reflector), up(addresses.outside)]);
    t.match(await outside.run('neighbor'), /65000 \S+ Establ/);
    t.match(
      await reflector.show(`show bgp neighbors ${addresses.host}`),
      /BGP state = Established/,
    );
  });

  await t.test('types 2, 3 and 5 reach all of them as they should be', async (t) => {
    const { speaker } = fanway;
    speaker.announce({ kind: 'flood', vni: 100 });
    speaker.announce(MAC);
    speaker.announce({ ...MAC, ip: 0x0a64_0001 });
    const prefix = { kind: 'prefix', vni: 100, address: 0xfa00_1c00, length: 24 } as const;
    speaker.announce({ ...prefix, routerMac: null });
    await until('GoBGP has all', 5000, async () => (await gobgp.paths()).length >= 4);
    const text = await gobgp.run('global rib -a evpn');
    t.match(
      text,
      /type:macadv\]\[rd:172\.30\.0\.28:100\]\[etag:0\]\[mac:02:00:00:00:00:01\]\[ip:10\.100\.0\.1\] +\[100\]/,
    );
    t.match(
      text,
      /type:multicast.*\[65000:100\], \[VXLAN\].*Pmsi: type: ingress-repl, label: 100, tunnel-id: 172\.30\.0\.28/,
    );
    t.match(text, /type:Prefix.*prefix:250\.0\.28\.0\/24\] +\[100\]/);
    await until('FRR’s VTEP has all', 5000, () => frrHas(vtep, '[5]:[0]:[24]:[250.0.28.0]'));
    const mac = new RegExp(`02:00:00:00:00:01 +remote +${addresses.host} `);
    // What bgpd has is zebra's, and the kernel's, a moment later.
    await until('zebra has the MAC', 5000, async () =>
      mac.test(await vtep.show('show evpn mac vni 100')),
    );
    const flood = `00:00:00:00:00:00 dst ${addresses.host}`;
    await until('the kernel floods to us', 5000, async () =>
      (await ask(vtep.host, 'bridge', ['fdb', 'show', 'dev', 'vxlan100'])).includes(flood),
    );
    t.match(
      await outside.run('global rib -a evpn'),
      /macadv.* 65000 +/,
      'another AS sees our AS in the path',
    );
  });

  await t.test('types 2 and 3 of FRR, 2, 3 and 5 of GoBGP arrive as our own values', async (t) => {
    await lab.container(3).attach({ bridge: 'br100', address: 0x0a64_0004, length: 24 });
    await speak();
    await until(
      'FRR’s flood member and MAC',
      10_000,
      () => has(/^flood at ac1e0319 100/) && has(/^mac .* at ac1e0319 100/),
    );
    const own = `etag 0 label 100 rd ${addresses.outside}:7 rt 65000:100 encap vxlan`;
    await outside.run(`global rib add -a evpn macadv 02:00:00:00:00:09 10.100.0.9 ${own}`);
    await outside.run(
      `global rib add -a evpn multicast ${addresses.outside} etag 0 rd ${addresses.outside}:7 rt 65000:100 encap vxlan pmsi ingress-repl 100 ${addresses.outside}`,
    );
    await outside.run(`global rib add -a evpn prefix 250.4.24.0/24 ${own}`);
    await until(
      'GoBGP’s',
      5000,
      () => fanway.entries().filter((entry) => entry.includes('at ac1e0418 100')).length === 4,
    );
    t.ok(has(/^address a640009 at ac1e0418 100 0$/));
    t.ok(has(/^prefix fa041800\/24 at ac1e0418 100 0$/));
    await outside.run(`global rib del -a evpn prefix 250.4.24.0/24 ${own}`);
    await until('a withdrawal', 2000, () => !has(/^prefix/));
  });

  await t.test('what they sent reads, writes and reads again as the same', async (t) => {
    const context = { as4: true, internal: true };
    const known = new Set<number>();
    for (const { type, body } of fanway.captured) {
      if (type === MessageType.Open) {
        t.same(parseOpen(emitOpen(parseOpen(body))), parseOpen(body), 'OPEN');
      }
      if (type !== MessageType.Update) continue;
      const update = parseUpdate(body, context);
      t.same(
        update.faults.filter(({ attribute }) => attribute !== 5),
        [],
        'no faults',
      );
      for (const { code } of update.attributes.opaque ?? []) known.add(code);
      const { attributes, nextHop, reach, unreach } = update;
      if (nextHop !== undefined && reach.length > 0) {
        const [again = body] = emitReach(attributes, nextHop, reach, context);
        t.same(
          { ...parseUpdate(again, context), passedBy: 0 },
          { ...update, unreach: [], passedBy: 0 },
        );
      }
      if (unreach.length > 0)
        t.same(parseUpdate(emitUnreach(unreach)[0] ?? body, context).unreach, unreach);
    }
    t.same(
      [...known].filter((code) => ATTRIBUTE_ROWS.has(code)),
      [],
    );
  });

  await t.test('a route asked for once more comes once more, from either side', async (t) => {
    const neighbour = fanway.speaker.neighbour(addresses.gobgp);
    const before = neighbour?.counters.updatesReceived ?? 0;
    t.equal(neighbour?.refresh(), true);
    await until('all once more', 5000, () => (neighbour?.counters.updatesReceived ?? 0) > before);
    await gobgp.run(`neighbor ${addresses.host} softresetin -a evpn`);
    await gobgp.run(`neighbor ${addresses.host} softresetout -a evpn`);
    t.equal(neighbour?.state, 'Established');
    t.equal(fanway.speaker.neighbour(addresses.reflector)?.counters.resets, 0);
  });

  await t.test('one of two reflectors dies: nothing moves', async (t) => {
    const before = fanway.entries();
    fanway.changes.length = 0;
    await gobgp.end('SIGKILL');
    await until('the loss is seen', 12_000, () => !isUp(addresses.gobgp));
    t.ok((fanway.speaker.neighbour(addresses.gobgp)?.ribIn.stale ?? 0) > 0, 'its routes are kept');
    const again = await fabric.startGobgp('-r');
    await up(addresses.gobgp, 30_000);
    // GoBGP may send no End-of-RIB: then the stale time ends the waiting.
    await until(
      'no stale routes',
      10_000,
      () => fanway.speaker.neighbour(addresses.gobgp)?.ribIn.stale === 0,
    );
    await until('GoBGP has ours again', 5000, async () => (await again.paths()).length >= 4);
    t.same(fanway.entries(), before);
    t.same(fanway.changes, [], 'no entry moved meanwhile');
  });

  await t.test('a session that is cleared comes back', async (t) => {
    const neighbour = fanway.speaker.neighbour(addresses.reflector);
    const before = neighbour?.counters.established ?? 0;
    await reflector.show('clear bgp l2vpn evpn *');
    await until(
      'again',
      15_000,
      () => (neighbour?.counters.established ?? 0) > before && isUp(addresses.reflector),
    );
    await until('and has our routes', 10_000, () =>
      frrHas(reflector, '[2]:[0]:[48]:[02:00:00:00:00:01]'),
    );
    t.match(neighbour?.lastEnd, /Cease/);
  });

  await t.test(
    'killed, it loses nothing at its neighbours; stopped, everything at once',
    async (t) => {
      await fanway.close();
      const startedAt = performance.now();
      await until(
        'gone at FRR’s VTEP',
        2000,
        async () => !(await frrHas(vtep, '02:00:00:00:00:01')),
      );
      t.comment(`withdrawn after ${Math.round(performance.now() - startedAt)} ms`);
      t.ok(performance.now() - startedAt < 2000 * PATIENCE);
      fanway = await start({ isRestarting: true });
      await Promise.all([up(addresses.gobgp, 30_000), up(addresses.reflector)]);
      await until('settled', 30_000, () => fanway.speaker.isSettled);
    },
  );
});
