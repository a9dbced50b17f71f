/**
 * Puts together what links need that are layer-2 networks: the way out, the way in, and what control is
 * told.
 * @module
 */

import { FLOW_SET_BYTES, FlowSet } from '../shm/flow-set.ts';
import type { Layout } from '../shm/layout.ts';
import { EventWriter } from '../table/events.ts';
import { PolicyReader } from '../table/policy.ts';
import type { TableSegment } from '../table/segment.ts';
import type { Egress } from './egress/egress.ts';
import type { Arena } from './ground/arena.ts';
import type { Coalescer } from './ingress/deliver/coalesce.ts';
import { DeviceWriter } from './ingress/deliver/device-writer.ts';
import type { Ingress } from './ingress/ingress.ts';
import { Replicator } from './ingress/network/replicator.ts';
import { VniIngress } from './ingress/network/vni.ts';
import { Claims } from './learn/claims.ts';
import { KeepAliveNews } from './learn/keep-alives.ts';
import { News } from './learn/news.ts';
import { TrainTests } from './learn/train-tests.ts';
import { Policy } from './policy/policy.ts';
import type { Trains } from './send/trains.ts';

/** What there is of a loop without them. */
export type NetworkParts = {
  arena: Arena;
  layout: Layout;
  trains: Trains;
  coalescer: Coalescer;
  segment: TableSegment;
  /** Connections that all data processes know; of this one alone unless given. */
  flows?: FlowSet | undefined;
};

/** Lets both ways serve networks too; the events of what happens there come by what this returns. */
export function serveNetworks(
  egress: Egress,
  ingress: Ingress,
  { arena, layout, trains, coalescer, segment, ...parts }: NetworkParts,
): EventWriter {
  const writer = new DeviceWriter(arena, layout);
  const events = new EventWriter(layout.eventWriter());
  const news = new News(arena, events);
  const claims = new Claims(arena, news);
  const replicator = new Replicator(arena, trains);
  const flows = parts.flows ?? new FlowSet(new ArrayBuffer(FLOW_SET_BYTES));
  const policy = new Policy({
    ...{ view: arena.view, rules: new PolicyReader(segment), flows, hits: layout.ruleHits() },
    ...{ keys: flows.keys, nowMs: () => performance.now() },
  });
  egress.serveNetworks(claims, news, policy);
  const networks = new VniIngress({
    ...{ arena, arrival: ingress.arrival, coalescer, writer, claims, news, replicator, policy },
  });
  ingress.serveNetworks(networks, new TrainTests(news), new KeepAliveNews(news));
  return events;
}
