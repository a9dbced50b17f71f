import t from 'tap';
import type { LayerReport } from '../../src/api/test.ts';
import { resultOf, testText } from '../../src/cli/paths/test.ts';
import { type Evidence, lossesOf, verdictOf } from '../../src/control/probe/cause.ts';

const layer = (part: Partial<LayerReport> = {}): LayerReport => ({
  ...{ sent: 30, received: 30, minMs: 0.1, avgMs: 0.2, maxMs: 0.3, reordered: 0 },
  ...{ mtu: 1500, mtuMax: 1500, ...part },
});
const inner = (part: Partial<LayerReport> = {}): LayerReport =>
  layer({ mtu: 1450, mtuMax: 1450, ...part });
const silent: Partial<LayerReport> = { received: 0, minMs: null, avgMs: null, maxMs: null, mtu: 0 };
const drop = (counter: string, count = 9) => ({ counter, count, cause: `because of ${counter}` });

const GOOD: Evidence = {
  ...{ underlay: layer(), tunnel: inner(), overheadBytes: 50, wire: 'UDP port 4789' },
  ...{ nearDrops: [], portUnreachable: false, member: 'alive', segmentation: 'works' },
};

t.test('a verdict names the side and the cause, and no more than is known', async (t) => {
  const lost = { tunnel: inner(silent) };
  const cases: [what: string, evidence: Partial<Evidence>, text: RegExp][] = [
    ['all', {}, /^all is well$/],
    ['no ping between hosts', { underlay: layer(silent) }, /^the tunnel works; the plain network/],
    ['refused', { ...lost, portUnreachable: true }, /^the far side refuses: nobody listens on UDP/],
    [
      'our egress',
      { ...lost, nearDrops: [drop('egress.drop.send_denied')] },
      /^this side drops: egr/,
    ],
    [
      'our ingress',
      { ...lost, nearDrops: [drop('ingress.drop.stranger')] },
      /^this side drops: ingr/,
    ],
    [
      'theirs',
      { ...lost, farDrops: [drop('ingress.drop.wrong_vni')] },
      /^the far side drops: ingr/,
    ],
    [
      'both',
      { ...lost, nearDrops: [drop('ingress.drop.x')], farDrops: [drop('ingress.drop.x')] },
      /^both sides drop: ingress\.drop\.x/,
    ],
    ['nothing left', { ...lost, left: 0 }, /^this side: nothing left this host/],
    ['it came back', { ...lost, left: 9, back: 9 }, /^this side: answers came to this host/],
    ['on the way there', { ...lost, farDrops: [], farReceived: 0 }, /^lost on the way there/],
    ['on the way back', { ...lost, farDrops: [], farReceived: 9 }, /^lost on the way back/],
    ['nobody knows', lost, /^what left this host had no answer/],
    [
      'off',
      { ...lost, underlay: layer(silent), member: 'dead' },
      /by neither way: gossip says it is/,
    ],
    ['a firewall', { ...lost, underlay: layer(silent) }, /by neither way: gossip hears it/],
    [
      'both lose',
      { underlay: layer({ received: 20 }), tunnel: inner({ received: 20 }) },
      /loses as/,
    ],
    ['the tunnel loses', { tunnel: inner({ received: 20 }) }, /^the tunnel loses 33 %/],
    [
      'and it is known for what',
      { tunnel: inner({ received: 20 }), farDrops: [drop('ingress.drop.device_full')] },
      /loses 33 %: the far side drops: ingress\.drop\.device_full/,
    ],
    [
      'the kernel lost it before we read it',
      {
        tunnel: inner({ received: 20 }),
        nearDrops: lossesOf([drop('event.port_unreachable'), drop('event.socket_drops', 4)]),
      },
      /loses 33 %: this side drops: event\.socket_drops 4: because/,
    ],
    [
      'and all of it',
      { ...lost, farDrops: [drop('event.socket_drops')] },
      /^the far side drops: ev/,
    ],
    [
      'none of ours lately',
      { farDrops: [drop('ingress.drop.x'), drop('event.device_drops', 2)] },
      /^all is well, but the far side drops: event\.device_drops 2: because/,
    ],
    [
      'a short path',
      { underlay: layer({ mtu: 1400 }), tunnel: inner({ mtu: 1350 }) },
      /carries 1400 bytes.*tunnel carries 1350 bytes, containers are told 1450, and are told less/,
    ],
    ['a short tunnel', { tunnel: inner({ mtu: 1300 }) }, /carries 1300 .*lower the MTU on both/],
    [
      'order',
      { tunnel: inner({ reordered: 9 }) },
      /overtake one another in the tunnel \(9 of 30\)/,
    ],
    ['no offload', { segmentation: 'refused' }, /udp-segment is refused/],
  ];
  for (const [what, evidence, text] of cases) {
    const verdict = verdictOf({ ...GOOD, ...evidence });
    t.match(verdict.text, text, what);
    const isWell = ['all', 'no ping between hosts', 'none of ours lately'].includes(what);
    t.equal(verdict.isWell, isWell, what);
  }
});

t.test('a matrix has everybody in it, and says who did not report', async (t) => {
  const path = (name: string, tunnel = inner()) => ({
    ...{ to: name, name, overlay: '250.0.0.0/8', host: '172.30.0.1', gateway: '250.0.1.1' },
    ...{ underlay: layer(), tunnel, segmentation: 'works' as const },
  });
  const link = { link: 'f', overlay: '250.0.0.0/8', encap: 'vxlan', offloads: [], drops: [] };
  const six = { ...link, overlay: 'fd00:1::/48' };
  const report = { problem: '', links: [link, six] };
  const result = resultOf(
    [
      { from: 'a', name: 'a', ...report, paths: [path('b'), path('c', inner(silent))] },
      { from: 'b', name: 'b', ...report, paths: [path('a')] },
      {
        ...{ from: 'c', name: 'c', problem: 'it did not report: it hung up', paths: [] },
        links: [{ ...link, overlay: 'VNI 7' }],
      },
    ],
    [],
  );
  t.equal(result.isWell, false);
  const text = testText(result);
  t.match(text, /^a +\. +0\.20\|0\.20 +0\.20\|none !$/m);
  t.match(text, /^b +0\.20\|0\.20 +\. +\?$/m, 'what nobody measured is no success');
  t.match(text, /^! a -> c \(250\.0\.0\.0\/8\): what left this host/m);
  t.match(text, /^! c: it did not report: it hung up$/m);
  t.match(text, /^\? fd00:1::\/48: not measured: .* fanway ping HOST/m);
  t.notMatch(text, /VNI 7/, 'which one host has alone');
});
