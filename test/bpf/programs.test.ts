import t from 'tap';
import { fanClosed, fanEgress } from '../../src/bpf/fan/fan-egress.ts';
import { fanIngress } from '../../src/bpf/fan/fan-ingress.ts';
import { FAN_MAPS, type FanMaps, type FanPath } from '../../src/bpf/fan-path.ts';
import { networkClosed, networkEgress } from '../../src/bpf/network/network-egress.ts';
import { networkIngress } from '../../src/bpf/network/network-ingress.ts';
import {
  NETWORK_MAPS,
  type NetworkMaps,
  type NetworkPath,
} from '../../src/bpf/network/network-path.ts';
import { fanPort } from '../../src/bpf/port/straight.ts';
import { NO_OVERLAY } from '../../src/net/fan.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { parsePrefix6 } from '../../src/net/prefix6.ts';
import { BumMode, GuardMode } from '../../src/shm/network.ts';
import { createMap, loadClassifier } from '../../src/sys/bpf/bpf.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

const path = (overlay: string, underlay: string, more: Partial<FanPath> = {}): FanPath => ({
  overlay: parsePrefix(overlay),
  underlay: parsePrefix(underlay),
  local: parsePrefix(underlay).address + 5,
  frames: true,
  vni: 0xfa0000,
  port: 4789,
  innerMtu: 1450,
  dscp: 'pipe',
  ...more,
});

const six = (overlay: string): Partial<FanPath> => ({
  six: { overlay: parsePrefix6(overlay), vni: 0x123456 },
});

t.test(
  'the kernel takes the programs of fans of all widths',
  { skip: skipWithoutTun() },
  async (t) => {
    const maps: FanMaps = {
      counters: createMap(FAN_MAPS.counters),
      entries: createMap(FAN_MAPS.entries),
      entries6: createMap(FAN_MAPS.entries6),
      homes: createMap(FAN_MAPS.homes),
      localMacs: createMap(FAN_MAPS.localMacs),
      events: createMap(FAN_MAPS.events),
      told: createMap(FAN_MAPS.told),
      limits: createMap(FAN_MAPS.limits),
      stations: createMap(FAN_MAPS.stations),
      bypass: createMap(FAN_MAPS.bypass),
    };
    t.teardown(() => {
      for (const fd of Object.values(maps)) libc.close(fd);
    });
    for (const one of [
      path('250.0.0.0/8', '172.16.0.0/16'),
      path('250.0.0.0/8', '172.16.0.0/16', { dscp: 'uniform' }),
      path('250.0.0.0/8', '172.16.0.0/16', { frames: false, dscp: 'uniform' }),
      path('250.0.0.0/8', '172.16.0.0/16', { frames: false, port: 0 }),
      path('240.0.0.0/4', '10.0.0.0/8'),
      path('250.0.0.0/8', '192.0.2.0/24'),
      path('250.16.0.0/16', '192.0.2.0/24'),
      path('250.16.0.0/16', '192.0.2.4/31'),
      path('250.16.0.0/12', '192.0.2.4/32'),
      // With IPv6: the host part in one word, astride two, in the last; none at all; and IPv6 alone.
      path('250.0.0.0/8', '172.16.0.0/16', six('fd00:fa::/32')),
      path('250.0.0.0/8', '172.16.0.0/16', { ...six('fd00::/24'), dscp: 'uniform' }),
      path('250.0.0.0/8', '10.0.0.0/8', six('fd00:fa:1::/52')),
      path('250.0.0.0/8', '172.16.0.0/16', six('fd00:fa::1:0:0/110')),
      path('250.16.0.0/12', '192.0.2.4/32', six('fd00:fa::/32')),
      { ...path('250.0.0.0/8', '172.16.0.0/16', six('fd00:fa::/32')), overlay: NO_OVERLAY },
    ]) {
      for (const [name, program] of [
        ['egress', fanEgress(one, maps)],
        ['ingress', fanIngress(one, maps)],
        ['port', fanPort(one, maps, 7, { first: 32_768, last: 60_999 })],
        ['shut_egress', fanClosed('egress', one, maps)],
        ['shut_ingress', fanClosed('ingress', one, maps)],
      ] as const) {
        const fd = loadClassifier(`fanway_${name}`, program, name === 'port' ? 'gpl' : 'mit');
        t.ok(fd >= 0, `${name}: ${program.length / 8} instructions`);
        libc.close(fd);
      }
    }
  },
);

t.test(
  'the kernel takes the programs of networks of all kinds',
  { skip: skipWithoutTun() },
  (t) => {
    const shapes = Object.entries(NETWORK_MAPS);
    const maps = Object.fromEntries(
      shapes.map(([name, shape]) => [name, createMap(shape)]),
    ) as NetworkMaps;
    t.teardown(() => {
      for (const fd of Object.values(maps)) libc.close(fd);
    });
    const network = (change: Partial<NetworkPath>): NetworkPath => ({
      ...{ local: 0xac1e_0001, vni: 100, port: 4789, innerMtu: 1450, dscp: 'pipe', frames: true },
      ...{ bum: BumMode.None, guard: GuardMode.Learn, isReplicator: false, tellsAnswers: false },
      ...{ floodsPerSecond: 1000, ...change },
    });
    for (const one of [
      network({}),
      network({ guard: GuardMode.Strict, dscp: 'uniform', tellsAnswers: true }),
      network({ bum: BumMode.Replicate, isReplicator: true, dscp: 'uniform' }),
      network({ bum: BumMode.ServiceNode, guard: GuardMode.Off }),
      network({ bum: BumMode.Learn, isReplicator: true, guard: GuardMode.Off }),
    ]) {
      for (const [name, program] of [
        ['egress', networkEgress(one, maps)],
        ['ingress', networkIngress(one, maps)],
        ['shut_egress', networkClosed('egress', one, maps)],
        ['shut_ingress', networkClosed('ingress', one, maps)],
      ] as const) {
        const fd = loadClassifier(`fanway_${name}`, program);
        t.ok(fd >= 0, `${name}: ${program.length / 8} instructions`);
        libc.close(fd);
      }
    }
    t.end();
  },
);
