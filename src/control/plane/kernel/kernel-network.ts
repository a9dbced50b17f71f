/**
 * One layer-2 network that the kernel forwards.
 * @module
 */
import { networkClosed, networkEgress } from '../../../bpf/network/network-egress.ts';
import { networkIngress } from '../../../bpf/network/network-ingress.ts';
import type { NetworkPath } from '../../../bpf/network/network-path.ts';
import { FLOODS_PER_SECOND } from '../../../limits.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import { FdbFlag } from '../../../table/fdb.ts';
import { NeighbourFlag } from '../../../table/neighbours.ts';
import { VtepFlag } from '../../../table/vteps.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import { BUM, GUARD } from '../tables/overlay-words.ts';
import type { KeptNetwork } from '../tables/predecessor.ts';
import {
  KernelLink,
  type KernelTools,
  type LinkCode,
  localOf,
  openOnDevice,
} from './kernel-link.ts';
import { NetworkLinkMaps } from './network-maps.ts';

/** What the programs need to know of a network. @throws FanwayError for one that they cannot carry */
function pathOf(spec: NetworkSpec): NetworkPath {
  const { vni, port, innerMtu, dscp, bum, guard, replicator } = spec;
  return {
    ...{ local: localOf(spec), frames: true, vni, port, innerMtu, dscp },
    ...{ bum: BUM[bum], guard: GUARD[guard], isReplicator: replicator },
    tellsAnswers: spec.kernelArp === true,
    floodsPerSecond: FLOODS_PER_SECOND,
  };
}

export class KernelNetwork extends KernelLink<NetworkSpec, NetworkLinkMaps> {
  readonly bypass = undefined;

  /** As {@link openOnDevice}. @throws SystemError where the kernel refuses programs, and as that */
  static open(tools: KernelTools, spec: NetworkSpec, name = spec.device): Promise<KernelNetwork> {
    pathOf(spec);
    return openOnDevice(tools, spec, name, async (device) => {
      const maps = NetworkLinkMaps.open(device.program);
      let link: KernelNetwork;
      try {
        link = new KernelNetwork({ ...tools, device, maps }, spec);
      } catch (error) {
        maps.close();
        throw error;
      }
      return link.begin();
    });
  }

  protected code(spec: NetworkSpec): LinkCode {
    const path = pathOf(spec);
    const { fds } = this.maps;
    return {
      forward: { code: { egress: networkEgress(path, fds), ingress: networkIngress(path, fds) } },
      closed: {
        egress: networkClosed('egress', path, fds),
        ingress: networkClosed('ingress', path, fds),
      },
    };
  }

  /** Who is where, as the programs read it. */
  get rows(): NetworkLinkMaps {
    return this.maps;
  }

  /** Peers are those that may send. */
  protected override isPeer(host: number): boolean {
    return this.maps.hasVtep(host);
  }

  /** What a predecessor knew of the network; undefined where there was none. */
  kept(): KeptNetwork | undefined {
    if (!this.maps.inherited) return undefined;
    const { vni, port } = this.spec;
    const own = (label: number): number => (label === vni ? 0 : label);
    const here: KeptNetwork['here'] = { macs: [], bindings: [] };
    const kept: KeptNetwork = { vni, port, here, macs: [], bindings: [], vteps: [], floods: [] };
    const hosts = new Map<number, UnderlayAddress>();
    for (const mac of this.maps.macs()) {
      const place = this.maps.place(mac);
      if (place === undefined) continue;
      const { host, flags } = place;
      if (host === 0) here.macs.push({ mac, flags });
      // What was overheard is overheard again.
      if (host === 0 || (flags & FdbFlag.Learned) !== 0) continue;
      const [isSticky, isRouter] = [(flags & FdbFlag.Sticky) !== 0, (flags & FdbFlag.Router) !== 0];
      kept.macs.push({ mac, host, label: own(place.vni), isSticky, isRouter });
      hosts.set(mac, host);
    }
    for (const address of this.maps.addresses()) {
      const { mac = 0, flags = 0 } = this.maps.binding(address) ?? {};
      if ((flags & NeighbourFlag.Local) !== 0) here.bindings.push({ address, mac, flags });
      const host = hosts.get(mac);
      if (host === undefined) continue;
      kept.bindings.push({ address, mac, host, isRouter: (flags & NeighbourFlag.Router) !== 0 });
    }
    for (const { host, flags } of this.maps.vteps()) {
      kept.vteps.push({ host, isReplicator: (flags & VtepFlag.Replicator) !== 0 });
    }
    for (const { host, vni: label } of this.maps.floods().places) {
      if (host !== 0) kept.floods.push({ host, label: own(label) });
    }
    return kept;
  }
}
