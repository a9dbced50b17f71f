/**
 * Counters and states as Prometheus reads them (text exposition format 0.0.4), under the names
 * that `fanway counters` has: `egress.drop.runt` is `fanway_egress_drop_runt`.
 * @module
 */
import type { RateStatus } from '../api/networks.ts';
import type { LinkUnderlays, RouterStatus } from '../api/status.ts';
import type { GossipService } from './speakers/gossip/service.ts';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = Readonly<Record<string, string>>;
type Sample = { labels: Labels; value: number };

/** Metrics by name; samples of one name stay together, as the format wants it. */
class Page {
  readonly #metrics = new Map<string, { type: 'counter' | 'gauge'; samples: Sample[] }>();

  add(type: 'counter' | 'gauge', name: string, value: number, labels: Labels = {}): void {
    const full = `fanway_${name.replace(/[^A-Za-z0-9_]/g, '_')}`;
    const metric = this.#metrics.get(full) ?? { type, samples: [] };
    metric.samples.push({ labels, value });
    this.#metrics.set(full, metric);
  }

  text(): string {
    const lines: string[] = [];
    for (const [name, { type, samples }] of this.#metrics) {
      lines.push(`# TYPE ${name} ${type}`);
      for (const { labels, value } of samples) lines.push(`${name}${labelText(labels)} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) =>
      `${key}="${value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** What waits for a link's rate; marks and losses are among the counters of links. */
function addRate(page: Page, rate: RateStatus | null, link: string): void {
  if (rate === null) return;
  page.add('gauge', 'rate_bits_per_second', rate.bits, { link });
  page.add('gauge', 'rate_waiting_packets', rate.waiting, { link });
  page.add('gauge', 'rate_waiting_flows', rate.flows, { link });
  page.add('gauge', 'rate_delay_seconds', rate.delayMs / 1000, { link });
}

/** How each of several underlays does: round trip and loss of the ways to peers, and whom it reaches. */
function addUnderlays(page: Page, { underlays = [] }: LinkUnderlays, link: string): void {
  for (const { device, carrier, mtu, peers } of underlays) {
    const labels = { link, underlay: device };
    page.add('gauge', 'underlay_carrier', carrier ? 1 : 0, labels);
    page.add('gauge', 'underlay_mtu_bytes', mtu, labels);
    page.add('gauge', 'underlay_peers', peers.length, labels);
    page.add('gauge', 'underlay_peers_used', peers.filter(({ used }) => used).length, labels);
    for (const { peer, state, delayMs, lostPercent, losses, ...way } of peers) {
      const to = { ...labels, peer };
      page.add('gauge', 'underlay_way_up', state === 'up' ? 1 : 0, to);
      if (delayMs !== null)
        page.add('gauge', 'underlay_way_round_trip_seconds', delayMs / 1000, to);
      page.add('gauge', 'underlay_way_lost_ratio', lostPercent / 100, to);
      page.add('counter', 'underlay_way_losses', losses, to);
      page.add('gauge', 'underlay_way_mtu_bytes', way.mtu, to);
      page.add('gauge', 'underlay_way_up_delay_seconds', way.upDelayMs / 1000, to);
      page.add('gauge', 'underlay_way_down_delay_seconds', way.downDelayMs / 1000, to);
    }
  }
}

/** The whole page. `counters` are those of the links, by link. */
export function metricsText(
  status: RouterStatus,
  counters: Readonly<Record<string, Readonly<Record<string, number>>>>,
  gossip: GossipService,
): string {
  const page = new Page();
  page.add('gauge', 'uptime_seconds', status.uptimeMs / 1000);
  page.add('gauge', 'info', 1, { version: status.version });
  for (const link of status.links) {
    page.add('gauge', 'link_up', link.state === 'stopped' ? 0 : 1, { link: link.name });
    page.add('counter', 'link_repairs', link.repairs, { link: link.name });
    addRate(page, link.rate, link.name);
    addUnderlays(page, link, link.name);
  }
  for (const network of status.networks) {
    const labels = { network: network.network, vni: String(network.vni) };
    const { macs, rules, drift, memberCount } = network;
    page.add('gauge', 'network_up', network.state === 'stopped' ? 0 : 1, labels);
    page.add('gauge', 'network_members', memberCount, labels);
    for (const [state, count] of Object.entries(macs)) {
      page.add('gauge', 'network_macs', count, { ...labels, state });
    }
    addRate(page, network.rate, network.bridge);
    addUnderlays(page, network, network.bridge);
    page.add('gauge', 'network_addresses', network.addresses, labels);
    page.add('gauge', 'network_waiting', network.waiting, labels);
    page.add('gauge', 'network_rules', rules, labels);
    page.add('gauge', 'network_drift', drift, labels);
    for (const [cause, count] of Object.entries(network.floods)) {
      page.add('counter', 'network_floods', count, { ...labels, cause });
    }
    page.add('counter', 'network_repairs', network.repairs, labels);
  }
  for (const process of status.processes) {
    const labels = { pid: String(process.pid) };
    page.add('gauge', 'data_process_alive', process.alive ? 1 : 0, labels);
    page.add('counter', 'data_process_restarts', process.restarts, labels);
  }
  for (const [link, values] of Object.entries(counters)) {
    for (const [name, value] of Object.entries(values)) page.add('counter', name, value, { link });
  }
  const { entries, peers, waiting, refused } = status.table;
  page.add('gauge', 'table_entries', entries);
  page.add('gauge', 'table_peers', peers);
  page.add('gauge', 'table_waiting', waiting);
  page.add('gauge', 'table_refused', refused);
  if (status.gossip !== null) {
    const { state, plaintext, members, conflicts } = status.gossip;
    page.add('gauge', 'gossip_up', state === 'up' ? 1 : 0);
    page.add('gauge', 'gossip_plaintext', plaintext ? 1 : 0);
    for (const [state, count] of Object.entries(members)) {
      page.add('gauge', 'gossip_members', count, { state });
    }
    page.add('gauge', 'gossip_conflicts', conflicts.length);
  }
  if (status.bgp !== null) {
    const { state, neighbors, routes, entries, unused } = status.bgp;
    page.add('gauge', 'bgp_up', state === 'up' ? 1 : 0);
    page.add('gauge', 'bgp_neighbors_established', neighbors.established);
    page.add('gauge', 'bgp_neighbors', neighbors.all);
    page.add('gauge', 'bgp_routes', routes);
    page.add('gauge', 'bgp_entries', entries);
    for (const [why, count] of Object.entries(unused)) {
      page.add('counter', 'bgp_unused_routes', count, { why });
    }
  }
  for (const [name, value] of Object.entries(gossip.host?.counters() ?? {})) {
    page.add('counter', `gossip.${name}`, value);
  }
  return page.text();
}
