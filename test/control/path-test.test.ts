/** Whom a host measures in a fan of IPv6 alone, of which records do not tell. */
import t from 'tap';
import type { LayerReport } from '../../src/api/test.ts';
import { PathTest } from '../../src/control/probe/path-test.ts';
import type { Measured, Target } from '../../src/control/probe/survey.ts';
import type { LinkSpec } from '../../src/control/store/link-spec.ts';
import type { MemberView } from '../../src/gossip/base/api.ts';
import { NO_OVERLAY } from '../../src/net/fan.ts';
import { parseAddress6, parsePrefix6 } from '../../src/net/prefix6.ts';
import { parseHostAddress } from '../../src/net/underlay-address.ts';
import { Question } from '../../src/wire/gossip/types.ts';

const TITLE = 'fd00:fa::/32';
const FAN: LinkSpec = {
  ...{ name: 'fan-six', encap: 'vxlan', device: 'fw-six', vni: 7, port: 4789 },
  ...{ underlay: { address: 0xac1e0000, length: 16 }, local: 0xac1e001c },
  ...{ overlay: NO_OVERLAY, slice: NO_OVERLAY, gateway: NO_OVERLAY.address },
  ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
  six: {
    overlay: parsePrefix6(TITLE),
    slice: parsePrefix6('fd00:fa:1c::/48'),
    gateway: parseAddress6('fd00:fa:1c::1'),
    vni: 7,
  },
};

function member(name: string, addresses: readonly string[], isSelf = false): MemberView {
  const endpoints = addresses.map((text) => ({ address: parseHostAddress(text), port: 5271 }));
  return {
    ...{ id: `id-${name}`, name, state: 'alive', isSelf, endpoint: endpoints[0], endpoints },
    ...{ encaps: [], mtu: 1500, vnis: [], fans: [], underlays: [], version: '1' },
    ...{ rttMs: 1, loss: 0, lastHeardMs: 1, sinceMs: 1, epoch: 1, sequence: 1 },
  };
}

const layer = (received: number): LayerReport => ({
  ...{ sent: 30, received, minMs: 1, avgMs: 1, maxMs: 1, reordered: 0, mtu: 1500, mtuMax: 1500 },
});

t.test(
  'members on the underlay of a fan of IPv6 alone are measured, where they have it',
  async (t) => {
    const members = [
      member('here', ['172.30.0.28'], true),
      member('there', ['172.30.1.27', 'fd01::27']),
      member('without', ['172.30.2.27']),
      member('deaf', ['172.30.3.27']),
      member('away', ['192.0.2.1']),
    ];
    const asked: string[] = [];
    const seen: Target[] = [];
    const test = new PathTest({
      specs: () => [FAN],
      networks: () => [],
      networkHosts: () => [],
      members: () => members,
      counters: () => ({}),
      paths: () => [],
      offloads: () => [],
      measure: async (targets) => {
        seen.push(...targets);
        return targets.map(
          ({ host }): Measured => ({
            underlay: layer(30),
            tunnel: layer(host === 0xac1e011b ? 30 : 0),
          }),
        );
      },
      ask: async (id, question) => {
        asked.push(`${id} ${question}`);
        if (id === 'id-deaf') throw new Error('no answer');
        return JSON.stringify({ '250.0.0.0/8': {} });
      },
    });
    const { paths, problem } = await test.report();
    t.equal(problem, '');
    t.strictSame(
      seen.map(({ gateway, inside }) => [gateway, inside]),
      ['fd00:fa:11b::1', 'fd00:fa:21b::1', 'fd00:fa:31b::1'].map((to) => [
        parseHostAddress('fd00:fa:1c::1'),
        parseHostAddress(to),
      ]),
      'from our own address there to theirs; who is on another underlay has none',
    );
    t.match(
      paths.map(({ name, overlay, host, gateway }) => ({ name, overlay, host, gateway })),
      [
        { name: 'there', overlay: TITLE, host: '172.30.1.27', gateway: 'fd00:fa:11b::1' },
        { name: 'deaf', overlay: TITLE, host: '172.30.3.27' },
      ],
      'who says that it has no such fan is left out, who says nothing is not',
    );
    t.equal(paths.length, 2);
    t.same(
      asked,
      [`id-without ${Question.Counters}`, `id-deaf ${Question.Counters}`],
      'only those that did not answer are asked',
    );
  },
);
