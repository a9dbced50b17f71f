/**
 * What the data path had when this control process took over from a killed one: claims that count least,
 * until others have had the time to say what is so. BGP tells when it has heard all (RFC 4724 §4.1);
 * members of gossip need some seconds to meet.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { Claim, ClaimUpdate, EntryId } from '../../rib/entry.ts';
import { Beat } from '../../sys/process/beat.ts';
import type { EntryService, EntrySink } from '../entries/entry-service.ts';
import type { NetworkTable } from '../plane/tables/network-table.ts';
import type { KeptNetwork } from '../plane/tables/predecessor.ts';
import type { NetworkSpec } from '../store/link-spec.ts';

/** Whatever happens, it is kept so long, ms. */
export const KEPT_MS = 10_000;
const LOOK_MS = 1000;

function claimAt(peer: UnderlayAddress, more: Partial<Claim> = {}): Claim {
  return { peer, owner: formatHostAddress(peer), sequence: 0, mac: 0, ...more };
}

/** A network's rows as claims. */
export function keptClaims(link: string, kept: KeptNetwork): ClaimUpdate[] {
  return [
    ...kept.vteps.map(({ host, isReplicator }): ClaimUpdate => {
      return { id: { link, kind: 'vtep', member: host }, claim: claimAt(host, { isReplicator }) };
    }),
    ...kept.macs.map(({ mac, host, label, isSticky, isRouter }): ClaimUpdate => {
      const own = label !== 0 && { label };
      const flags = { ...(isSticky && { isSticky }), ...(isRouter && { isRouter }), ...own };
      return { id: { link, kind: 'mac', mac }, claim: claimAt(host, flags) };
    }),
    ...kept.bindings.map(({ address, mac, host, isRouter }): ClaimUpdate => {
      const claim = claimAt(host, { mac, ...(isRouter && { isRouter }) });
      return { id: { link, kind: 'mac+ip', address }, claim };
    }),
    ...kept.floods.map(({ host, label }): ClaimUpdate => {
      const claim = claimAt(host, label === 0 ? {} : { label });
      return { id: { link, kind: 'flood', member: host }, claim };
    }),
  ];
}

/** Where what was here goes until the bridge has said what is. */
export type KeptSink = EntrySink & Pick<EntryService, 'rewrite'>;

export type KeptOptions = {
  sink: KeptSink;
  /** The tables; undefined before there was a link. */
  table: () => Pick<NetworkTable, 'setMac' | 'setNeighbour'> | undefined;
  /** Whether all who tell have told all. */
  isSettled: () => boolean;
};

export class Kept {
  readonly #options: KeptOptions;
  /** What was here. */
  #ids: EntryId[] = [];
  #sinceMs = 0;
  #timer: Beat | undefined;

  constructor(options: KeptOptions) {
    this.#options = options;
  }

  /** Takes what is of one of these networks. */
  take(networks: readonly KeptNetwork[], specs: readonly NetworkSpec[], nowMs: number): void {
    const { sink, isSettled } = this.#options;
    const known = networks.flatMap((kept) => {
      const spec = specs.find(({ vni, port }) => vni === kept.vni && port === kept.port);
      return spec === undefined ? [] : [{ link: spec.name, kept }];
    });
    if (known.length === 0) return;
    sink.update(
      'kept',
      known.flatMap(({ link, kept }) => keptClaims(link, kept)),
    );
    this.#ids.push(...known.flatMap(({ link, kept }) => this.#keepHere(link, kept)));
    this.#sinceMs = nowMs;
    this.#timer ??= new Beat(LOOK_MS, () => {
      if (performance.now() - this.#sinceMs < KEPT_MS || !isSettled()) return;
      this.close();
      sink.withdraw('kept');
      // What was here and did not show up again: the rib says what of it.
      for (const id of this.#ids.splice(0)) sink.rewrite(id);
    }).unref();
  }

  /**
   * What was here is no claim: nobody else is told of it before the bridge has been asked. It is where
   * packets go meanwhile; what anybody says goes over it.
   */
  #keepHere(link: string, { here }: KeptNetwork): EntryId[] {
    const table = this.#options.table();
    if (table === undefined) return [];
    const ids: EntryId[] = [];
    for (const { mac, flags } of here.macs) {
      table.setMac(link, mac, { host: 'here', flags, label: 0 });
      ids.push({ link, kind: 'mac', mac });
    }
    for (const { address, mac, flags } of here.bindings) {
      table.setNeighbour(link, address, { mac, flags });
      ids.push({ link, kind: 'mac+ip', address });
    }
    return ids;
  }

  close(): void {
    this.#timer?.close();
    this.#timer = undefined;
  }
}
