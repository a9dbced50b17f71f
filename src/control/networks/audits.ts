/**
 * Audits of this host's networks: when somebody asks, and by themselves now and then for the metrics.
 * @module
 */
import type { AuditJson } from '../../api/network/audit.ts';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { NetworkHost } from '../host/host.ts';
import type { NetworkTablePort } from '../plane/tables/network-table.ts';
import type { NetworkSpec } from '../store/link-spec.ts';
import { auditNetwork, type Drift } from './audit.ts';
import type { NetworkService } from './network-service.ts';

/** How often the networks are looked at without anybody asking, ms. */
const ROUND_MS = 60_000;
const SHOWN_MAX = 64;

export type AuditsOptions = {
  host: NetworkHost | undefined;
  networks: NetworkService;
  entries: EntryService;
  table: () => NetworkTablePort | undefined;
  specs: () => readonly NetworkSpec[];
  log: Log;
};

export class Audits {
  readonly #options: AuditsOptions;
  readonly #timer: NodeJS.Timeout;
  /** What differed when last looked at, by the link's name. */
  readonly drift = new Map<string, number>();

  constructor(options: AuditsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.all(false).catch((error: unknown) => options.log.warn('audit', messageOf(error)));
    }, ROUND_MS);
    this.#timer.unref();
  }

  /** Every network that is up. */
  async all(repair: boolean): Promise<AuditJson[]> {
    const found: AuditJson[] = [];
    this.drift.clear();
    for (const spec of this.#options.specs()) {
      const audit = await this.#one(spec, repair);
      if (audit === undefined) continue;
      found.push(audit);
      this.drift.set(spec.name, audit.drift - audit.repaired);
    }
    return found;
  }

  async #one(spec: NetworkSpec, repair: boolean): Promise<AuditJson | undefined> {
    const { host, networks, entries, table: tableNow, log } = this.#options;
    const local = networks.local(spec.name);
    const table = tableNow();
    if (host === undefined || local === undefined || table === undefined) return undefined;
    const bridgeEntries = await host.bridgeEntries(local.bridge);
    const neighbours = await host.writtenNeighbours(local.bridge);
    const link = spec.name;
    const told = await networks.answers.told(link);
    const answers = new Map(
      (await host.answers?.list(local.bridge))?.map((answer) => [answer.address, answer]),
    );
    const { checked, drifts } = auditNetwork({
      ...{ bridgeEntries, neighbours, answers, told, device: local.device, bridge: local.bridge },
      macs: entries.entries(link, 'mac'),
      bindings: entries.entries(link, 'mac+ip'),
      place: (mac) => table.place(link, mac),
      binding: (address) => table.binding(link, address),
      isStation: (mac) => local.stations.get(mac) !== undefined,
      isFull: (port) => local.stations.isFull(port),
    });
    const mend = async (drift: Drift): Promise<void> => {
      log.warn(spec.network, `${drift.text}: put right`);
      switch (drift.kind) {
        case 'table':
          return entries.rewrite(drift.id);
        case 'bridge':
          return local.forwarding('new', drift.entry);
        case 'written':
          // No more written down: the next word of the workload says where it is.
          return host.pointBridge(drift.mac, local.device);
        case 'answer':
          return networks.answers.drop(link, drift.address);
        case 'neighbour':
          return host.forgetNeighbour(local.bridge, drift.address);
      }
    };
    if (repair) for (const drift of drifts) await mend(drift);
    const righted = networks.answers.righted(link);
    return {
      ...{ network: spec.network, checked, drift: drifts.length + righted.length },
      drifts: [...drifts.map(({ text }) => text), ...righted].slice(0, SHOWN_MAX),
      repaired: righted.length + (repair ? drifts.length : 0),
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
