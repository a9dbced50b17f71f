import t from 'tap';
import type { OwnRoute } from '../../../src/bgp/rib/own-routes.ts';
import { Lab, type LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { emitReach } from '../../../src/wire/bgp/emit-update.ts';
import { MessageType } from '../../../src/wire/bgp/iana.ts';
import { emitOpen, parseOpen } from '../../../src/wire/bgp/open.ts';
import { parseUpdate } from '../../../src/wire/bgp/update.ts';
import { neighbourSettings } from '../../bgp/lab.ts';
import { skipWithoutNamespaces } from '../../netns/privileges.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { noPing } from '../../support/tools.ts';
import { ask, Bird, Frr, Gobgp, whyNoFrr, whyNoNewer } from './routers.ts';
import { startSpeaker } from './speaker.ts';

// FRR's programs give up root to a user that its package makes.
const skip = skipWithoutNamespaces() || skipLong || whyNoNewer() || whyNoFrr() || noPing();
t.setTimeout(1_200_000);

const MAC: Extract<OwnRoute, { kind: 'mac' }> = {
  ...{ kind: 'mac', vni: 100, mac: 0x0200_0000_0001, ip: null, sequence: 0 },
  ...{ sticky: false, gateway: false },
};

/** A bridge with the kernel's VXLAN as its port, for others to fill. */
async function addVxlan(host: LabHost): Promise<void> {
  const local = formatIpv4(host.address);
  for (const words of [
    'link add br100 type bridge',
    `link add vxlan100 type vxlan id 100 local ${local} dstport 4789 nolearning`,
    'link set vxlan100 master br100',
    'link set br100 up',
    'link set vxlan100 up',
  ]) {
    await ask(host, 'ip', words.split(' '));
  }
}

function gobgpConfig(own: string, clients: readonly string[]): string {
  const each = clients.map(
    (client) => `[[neighbors]]
[neighbors.config]
neighbor-address = "${client}"
peer-as = 65000
[neighbors.transport.config]
passive-mode = true
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "${own}"
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
`,
  );
  return `[global.config]\nas = 65000\nrouter-id = "${own}"\n${each.join('')}`;
}

/**
 * `direct`: a neighbour without a reflector between, with graceful restart. GoBGP says nothing when it
 * has sent all, so FRR must not wait for that before it chooses.
 */
function frrConfig(own: string, reflector: string, direct: string): string {
  const each = (what: string) =>
    [reflector, direct].map((address) => ` neighbor ${address} ${what}\n`).join('');
  return `router bgp 65000
 bgp router-id ${own}
 bgp graceful-restart
 bgp graceful-restart restart-time 60
 bgp graceful-restart select-defer-time 2
 no bgp default ipv4-unicast
${each('remote-as 65000')}${each('timers connect 1')} address-family l2vpn evpn
${each('activate')}  advertise-all-vni
 exit-address-family
`;
}

function birdConfig(own: string, reflector: string): string {
  return `router id ${own};
log stderr all;
evpn table evpntab;
eth table etab;
protocol device {}
protocol direct { ipv4; }
protocol bridge { eth { table etab; import all; export all; }; bridge device "br100"; }
protocol evpn {
  eth { table etab; };
  evpn { table evpntab; };
  encapsulation vxlan { tunnel device "vxlan100"; router address ${own}; };
  rd ${own}:100;
  route target (rt, 65000, 100);
  vni 100;
}
protocol bgp {
  local ${own} as 65000;
  neighbor ${reflector} as 65000;
  connect retry time 1;
  evpn { table evpntab; import all; export all; };
}
`;
}

t.test('newer FRR, GoBGP and BIRD', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 4, containersPerHost: 1 });
  t.teardown(() => lab.close());
  const text = (index: number): string => formatIpv4(lab.host(index).address);
  const [us, reflector, frrAddress, birdAddress] = [text(0), text(1), text(2), text(3)];
  await Promise.all([addVxlan(lab.host(2)), addVxlan(lab.host(3))]);
  const clients = [us, frrAddress, birdAddress];
  const gobgp = await Gobgp.start(lab.host(1), gobgpConfig(reflector, clients), [], 'newer');
  const frr = await Frr.start(lab.host(2), frrConfig(frrAddress, reflector, us), true, 'newer');
  t.teardown(() => frr.close());
  const bird = await Bird.start(lab.host(3), birdConfig(birdAddress, reflector));
  for (const index of [2, 3]) {
    const address = 0x0a64_0000 + index;
    await lab.container(index).attach({ bridge: 'br100', address, length: 24 });
  }
  const near = (address: string) =>
    neighbourSettings({ address, holdSeconds: 9, connectRetrySeconds: 1 });
  const fanway = await startSpeaker(lab.host(0), {
    neighbours: [near(reflector), near(frrAddress)],
  });
  t.teardown(() => fanway.close());
  const versions = [
    /FRRouting ([\d.]+)/.exec(await frr.show('show version'))?.[1],
    /BIRD (?:version )?([\d.]+)/.exec(await bird.show('status'))?.[1],
  ];
  t.comment(`FRR ${versions[0]}, BIRD ${versions[1]}`);
  const has = (pattern: RegExp) => fanway.entries().some((entry) => pattern.test(entry));
  const state = (address: string) => fanway.speaker.neighbour(address)?.state;

  await t.test('types 2, 3 and 5 reach all of them as they should be', async (t) => {
    await until(
      'both sessions',
      20_000,
      () => state(reflector) === 'Established' && state(frrAddress) === 'Established',
    );
    const { speaker } = fanway;
    speaker.announce({ kind: 'flood', vni: 100 });
    speaker.announce(MAC);
    speaker.announce({ ...MAC, ip: 0x0a64_0001 });
    const fd00 = Uint8Array.of(0xfd, ...new Array(14).fill(0), 1);
    speaker.announce({ ...MAC, ip: fd00 });
    const prefix = { kind: 'prefix', vni: 100, routerMac: null } as const;
    speaker.announce({ ...prefix, address: 0xfa00_1c00, length: 24 });
    speaker.announce({ ...prefix, address: fd00, length: 128 });
    await until('GoBGP has ours', 10_000, async () => {
      const paths = await gobgp.run('global rib -a evpn');
      return /type:Prefix.*prefix:fd00::1\/128/.test(paths) && /tunnel-id: 172/.test(paths);
    });
    await until('BIRD has ours', 10_000, async () => {
      const table = await bird.show('route table evpntab');
      const own = (rest: string) => table.includes(`${us}:100 0 ${rest}`);
      return [`${us} `, '02:00:00:00:00:01 *', '02:00:00:00:00:01 10.100.0.1'].every(own);
    });
    await until('FRR has ours', 10_000, async () => {
      const all = await frr.show('show bgp l2vpn evpn');
      return all.includes('[5]:[0]:[128]:[fd00::1]') && all.includes('[128]:[fd00::1]');
    });
    const remote = new RegExp(`02:00:00:00:00:01 +remote +${us} `);
    await until('FRR’s zebra has the MAC', 10_000, async () =>
      remote.test(await frr.show('show evpn mac vni 100')),
    );
    for (const host of [frr.host, bird.host]) {
      await until(`the kernel of ${host.name} sends to us`, 5000, async () => {
        const fdb = await ask(host, 'bridge', ['fdb', 'show', 'dev', 'vxlan100']);
        const wanted = ['00:00:00:00:00:00', '02:00:00:00:00:01'];
        return wanted.every((mac) => new RegExp(`${mac} .*dst ${us}\\b`).test(fdb));
      });
    }
    // A number, or from some release on text.
    const vni = (await frr.json('show evpn vni 100')) as { vni?: number | string };
    t.equal(Number(vni.vni), 100, `VNI in FRR's JSON is a ${typeof vni.vni}`);
  });

  await t.test('what they tell arrives as our own values', async (t) => {
    for (const index of [2, 3]) {
      const args = ['-c', '2', '-W', '1', '10.100.0.99'];
      lab.container(index).spawn('ping', args, { stdio: 'ignore' });
    }
    for (const at of [lab.host(2).address, lab.host(3).address].map((ip) => ip.toString(16))) {
      await until(`flood member and MAC of ${at}`, 20_000, () => {
        return has(new RegExp(`^flood at ${at} 100`)) && has(new RegExp(`^mac .* at ${at} 100`));
      });
      t.pass(`both came from ${at}`);
    }
  });

  await t.test('what they sent reads, writes and reads again as the same', async (t) => {
    const context = { as4: true, internal: true };
    let reached = 0;
    for (const { type, body } of fanway.captured) {
      if (type === MessageType.Open) {
        t.same(parseOpen(emitOpen(parseOpen(body))), parseOpen(body), 'OPEN');
      }
      if (type !== MessageType.Update) continue;
      const update = parseUpdate(body, context);
      t.same(update.faults, [], 'no faults');
      const { attributes, nextHop, reach } = update;
      if (nextHop === undefined || reach.length === 0) continue;
      reached++;
      const [again = body] = emitReach(attributes, nextHop, reach, context);
      t.same(
        { ...parseUpdate(again, context), passedBy: 0 },
        { ...update, unreach: [], passedBy: 0 },
      );
    }
    t.ok(reached > 4, `${reached} UPDATEs`);
  });

  await t.test('FRR is killed and comes back: nothing moves meanwhile', async (t) => {
    const near = fanway.speaker.neighbour(frrAddress);
    const at = lab.host(2).address.toString(16);
    const before = fanway.entries().filter((entry) => entry.includes(`at ${at}`));
    fanway.changes.length = 0;
    await frr.endBgpd('SIGKILL');
    await until('the loss is seen', 12_000, () => near?.state !== 'Established');
    t.ok((near?.ribIn.stale ?? 0) > 0, `${near?.ribIn.stale} routes are kept`);
    await frr.startBgpd(frrConfig(frrAddress, reflector, us), true);
    await until('it is back', 30_000, () => near?.state === 'Established');
    await until('and has sent all', 60_000, () => near?.ribIn.stale === 0);
    // FRR says that it was all before it knows its own networks again: what it had goes for a moment.
    await until('its entries are what they were', 30_000, () => {
      const after = fanway.entries().filter((entry) => entry.includes(`at ${at}`));
      return after.join() === before.join();
    });
  });

  await t.test('we are cut off: FRR keeps what we told', async (t) => {
    const ours = (state: string) =>
      new RegExp(`^ *${state}.*\\[5\\]:\\[0\\]:\\[24\\]:\\[250\\.0\\.28\\.0\\]`, 'm');
    const shows = async (state: string) => ours(state).test(await frr.show('show bgp l2vpn evpn'));
    await until('FRR has ours again', 60_000, () => shows('.'));
    fanway.cut();
    await until('FRR sees the loss', 20_000, async () => {
      const neighbour = await frr.show(`show bgp neighbors ${us}`);
      return !neighbour.includes('BGP state = Established');
    });
    t.ok(await shows('S'), await frr.show('show bgp l2vpn evpn'));
  });
});
