import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { ipv4, udp } from '../support/bytes.ts';
import { groundOf, judge } from '../support/ground.ts';
import { type Ground, inFrame, outer, type Probe, shim } from '../support/probes.ts';
import { type Encapsulation, fanwayUp, Target } from '../support/target.ts';

const skip = skipWithoutTun();

/** A second fan of the victim's, in another encapsulation: the door for "wrong mode". */
const OTHER_OVERLAY = '249.0.0.0/8';
const REACH_MS = 2000;

type Named = [name: string, address: number];

/** Slice of an underlay host in 250.0.0.0/8 over a /16: written out here as the tests' own oracle. */
const sliceOfHost = (host: number): number => (0xfa000000 | ((host & 0xffff) << 8)) >>> 0;

/** The 256 combinations of RELIABILITY B4 and the end of each. */
function combinations(ground: Ground, wrong: Ground): Probe[] {
  const outers: Named[] = [
    ['the peer', ground.peer],
    ['another peer', ground.otherPeer],
    ['a stranger', ground.stranger],
    ['ourselves', ground.victim],
  ];
  const destinations: Named[] = [
    ['our container', ground.container],
    ["another's slice", sliceOfHost(0xac1e0306) + 9],
    ['our broadcast', ground.slice + 255],
    ['the Internet', 0x08080808],
  ];
  const probes: Probe[] = [];
  for (const [from, source] of outers) {
    const own = sliceOfHost(source);
    const another = source === ground.peer ? ground.otherInner : ground.inner;
    const inners: Named[] = [
      ['its own slice', own + 10],
      ["another's slice", another],
      ['our container', ground.container + 1],
      ['our gateway', ground.slice + 1],
      ['its network address', own],
      ['127.0.0.1', 0x7f000001],
      ['255.255.255.255', 0xffffffff],
      ['the Internet', 0x08080404],
    ];
    for (const [inside, inner] of inners) {
      for (const [to, destination] of destinations) {
        for (const mode of ['right', 'wrong'] as const) {
          const ends = { source: inner, destination };
          const packet = ipv4(ends, udp(ends, { destinationPort: 9000 }));
          const way = mode === 'right' ? ground : wrong;
          const ofOuter = inside === 'its own slice' || inside === 'its network address';
          const forUs = to === 'our container' || to === 'our broadcast';
          let end = 'delivered';
          if (from === 'ourselves') end = 'own_source';
          else if (from === 'a stranger') end = 'stranger';
          else if (mode === 'wrong') end = ofOuter && forUs ? 'mode_mismatch' : 'foreign_source';
          else if (inside !== 'its own slice') end = 'foreign_source';
          else if (!forUs) end = 'foreign_destination';
          else if (to === 'our broadcast') end = 'broadcast';
          probes.push({
            name: `${mode} mode: outer ${from}, inner ${inside} to ${to}`,
            end,
            frames: [outer(way, shim(way, inFrame(way, packet)), { source })],
          });
        }
      }
    }
  }
  return probes;
}

const PAIRS: readonly (readonly [Encapsulation, Encapsulation])[] = [
  ['vxlan', 'ipip'],
  ['ipip', 'vxlan'],
  ['fou', 'vxlan'],
];

for (const [encap, wrongEncap] of PAIRS) {
  t.test(`${encap} beside ${wrongEncap}: only honest combinations enter`, { skip }, async (t) => {
    const target = await Target.create({ encap });
    t.teardown(() => target.close());
    const other = [OTHER_OVERLAY, 'eth0/16', 'bridge', 'fan-other', '--encap', wrongEncap];
    await fanwayUp(target.victim, ...other);
    await target.watchDevices();
    const wrong = { ...groundOf(target, wrongEncap), vni: 0xf90000 };
    const probes = combinations(groundOf(target, encap), wrong);
    t.equal(probes.length, 256);
    t.equal(new Set(probes.map(({ name }) => name)).size, 256);
    t.equal(probes.filter(({ end }) => end === 'delivered').length, 2, 'two are honest');
    const faults: string[] = [];
    const ends = new Map<string, number>();
    for (const probe of probes) {
      const fault = judge(probe, await target.shoot(probe.frames, REACH_MS));
      if (fault !== '') faults.push(`${probe.name}: ${fault}`);
      ends.set(probe.end, (ends.get(probe.end) ?? 0) + 1);
    }
    t.strictSame(faults, []);
    t.comment([...ends].map(([end, count]) => `${end} ${count}`).join(', '));
    t.equal(await target.settle(), 0, 'received = delivered + named drops');
  });
}
