/**
 * What a router measures and explains together with others: its own part, and what members ask of it.
 * @module
 */
import type { Asked } from '../../gossip/seal/asked.ts';
import type { Log } from '../../log.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { Question } from '../../wire/gossip/types.ts';
import type { Route } from '../admin/admin.ts';
import type { EntryService } from '../entries/entry-service.ts';
import { answerJson } from '../entries/views.ts';
import type { NetworkService } from '../networks/network-service.ts';
import { decideFlow } from '../networks/policy/policy-routes.ts';
import type { PolicyService } from '../networks/policy/policy-service.ts';
import type { TunnelSet } from '../plane/tunnel-set.ts';
import type { NetworkGossip } from '../speakers/gossip/networks/network-gossip.ts';
import type { GossipService } from '../speakers/gossip/service.ts';
import type { LinkSpec, NetworkSpec } from '../store/link-spec.ts';
import { measureApart } from './child.ts';
import { Ends } from './ends.ts';
import { FanEnd } from './fan-end.ts';
import { NetworkAims } from './network-aims.ts';
import { NetworkEnd } from './network-end.ts';
import { PathTest } from './path-test.ts';
import { probeRoutes } from './routes.ts';

export type ProbesOptions = {
  tunnels: TunnelSet;
  entries: EntryService;
  /** The layer-2 networks of this host. */
  networks: {
    service: NetworkService;
    policy: PolicyService;
    specs: () => readonly NetworkSpec[];
    gossip: Pick<NetworkGossip, 'macOfHost'>;
  };
  gossip: () => GossipService;
  /** The fans that are up. */
  specs: () => readonly LinkSpec[];
  /** The name of a member, '' where nobody knows it. */
  nameOf: (owner: string) => string;
  log: Log;
};

export class Probes {
  readonly #options: ProbesOptions;
  readonly #test: PathTest;
  readonly #ends: Ends;
  readonly #aims: NetworkAims;

  constructor(options: ProbesOptions) {
    const { tunnels, entries, networks, gossip, specs, nameOf } = options;
    this.#options = options;
    const members = () => gossip().host?.node.members() ?? [];
    this.#aims = new NetworkAims({
      ...{ entries, members, specs: () => networks.specs() },
      macOfHost: (spec, host) => networks.gossip.macOfHost(spec, host),
    });
    this.#test = new PathTest({
      ...{ networks: () => networks.specs(), networkHosts: () => this.#aims.hosts() },
      ...{ measure: measureApart, members },
      specs,
      counters: () => tunnels.counters(),
      paths: () => tunnels.paths(),
      offloads: (link) => tunnels.status().flatMap(({ offloads }) => offloads[link] ?? []),
      ask: async (member, question) => gossip().mustRun().ask(member, question),
    });
    const pathMtuOf = (host: UnderlayAddress): number =>
      tunnels.paths().find(({ peer }) => peer === host)?.mtu ?? 0;
    const { policy, service } = networks;
    const answer = (link: string, address: UnderlayAddress) =>
      answerJson(tunnels.answer(link, address), entries, link, nameOf);
    this.#ends = new Ends({
      ...{ fans: specs, networks: () => networks.specs(), members, entries, answer },
      network: new NetworkEnd({
        ...{ entries, networks: service, nameOf, pathMtuOf, table: () => tunnels.networks() },
        decide: (spec, flow) => decideFlow({ policy, entries }, spec, flow),
      }),
      fan: new FanEnd({ answer, pathMtuOf }),
      ask: async (member, about) => gossip().mustRun().ask(member, Question.Explain, about),
      limited: () => gossip().host?.node.counters.count('questions.limited'),
    });
  }

  /** Our answer to a member's question; undefined when it is none that we know. */
  answer(asked: Asked): Promise<string> | undefined {
    return this.#ends.answer(asked) ?? this.#test.answer(asked.question);
  }

  routes(): Route[] {
    return [...probeRoutes(this.#test, this.#options.log), this.#ends.route(), this.#aims.route()];
  }
}
