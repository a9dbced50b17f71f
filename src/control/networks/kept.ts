/**
 * What the data path had when this control process took over from a killed one: claims that count least,
 * until others have had the time to say what is so. BGP tells when it has heard all (RFC 4724 §4.1);
 * members of gossip need some seconds to meet.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { Claim, ClaimUpdate } from '../../rib/entry.ts';
import type { EntrySink } from '../entries/entry-service.ts';
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

export class Kept {
  readonly #sink: EntrySink;
  readonly #isSettled: () => boolean;
  #timer: NodeJS.Timeout | undefined;

  /** @param isSettled whether all who tell have told all */
  constructor(sink: EntrySink, isSettled: () => boolean) {
    this.#sink = sink;
    this.#isSettled = isSettled;
  }

  /** Takes what is of one of these networks. */
  take(networks: readonly KeptNetwork[], specs: readonly NetworkSpec[], nowMs: number): void {
    const updates = networks.flatMap((kept) => {
      const spec = specs.find(({ vni, port }) => vni === kept.vni && port === kept.port);
      return spec === undefined ? [] : keptClaims(spec.name, kept);
    });
    if (updates.length === 0) return;
    this.#sink.update('kept', updates);
    const sinceMs = nowMs;
    this.#timer ??= setInterval(() => {
      if (performance.now() - sinceMs < KEPT_MS || !this.#isSettled()) return;
      this.close();
      this.#sink.withdraw('kept');
    }, LOOK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
