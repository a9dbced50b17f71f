/**
 * What `net add` would change on a host, in words, and what `net rm` would take back.
 * @module
 */
import type { NetworkPlanJson } from '../api/network/requests.ts';
import type { NetworkRequest } from '../config/network.ts';
import { type Change, describeChange } from './change/change.ts';
import type { Snapshot } from './host/snapshot.ts';
import { planNetwork } from './links/plan-network.ts';

/**
 * The plan of a network beside what runs already.
 * @param thereOf the changes that the network on a bridge has made, in the order of making
 */
export function networkPlan(
  request: NetworkRequest,
  snapshot: Snapshot,
  thereOf: (bridge: string) => readonly Change[],
): NetworkPlanJson {
  const { network, bridge } = request;
  const plan = planNetwork(request, snapshot);
  const told = (changes: readonly Change[]): string[] =>
    changes.map((change) =>
      describeChange(change, change.kind === 'sysctl' ? snapshot.sysctls[change.key] : undefined),
    );
  const { outcome } = plan;
  switch (plan.outcome) {
    case 'changes': {
      const changes = told(plan.changes);
      return { outcome, network, bridge, changes, undone: [], messages: plan.warnings };
    }
    case 'same': {
      const undone = thereOf(plan.spec.name).map((change) => describeChange(change));
      return {
        ...{ outcome, network, bridge, changes: [] },
        ...{ undone: undone.reverse(), messages: [plan.message] },
      };
    }
    case 'refused': {
      const messages = plan.refusals.map(({ message }) => message);
      return { outcome, network, bridge, changes: [], undone: [], messages };
    }
  }
}
