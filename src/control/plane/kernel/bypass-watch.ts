/**
 * Looks at the ways past bridges every other second, and at once when links, bridges, the rules of nftables or the
 * policies of IPsec change.
 * @module
 */

import { codeOf } from '../../../errors.ts';
import { IpsecPolicies, watchIpsecPolicies } from '../../../sys/netlink/ipsec/policies.ts';
import type { BridgeNews, Netlink } from '../../../sys/netlink/netlink.ts';
import { NfTables, type NftChain, watchNfTables } from '../../../sys/netlink/nf/tables.ts';
import { Beat } from '../../../sys/process/beat.ts';
import type { Bypass } from './bypass.ts';

const LOOK_MS = 2000;

export class BypassWatch {
  readonly #links: () => readonly Bypass[];
  readonly #stops: (() => void)[] = [];
  #tables: NfTables | undefined;
  #policies: IpsecPolicies | undefined;
  #chains: { generation: number; chains: NftChain[] } = { generation: -1, chains: [] };
  #timer: Beat | undefined;
  #busy = false;
  #again = false;

  /** Watches the network namespace of `netlink`, which is that of the main thread. */
  constructor(netlink: Netlink, links: () => readonly Bypass[]) {
    this.#links = links;
    const background = { background: true };
    this.#stops.push(netlink.watchBridges((news) => this.#hear(news), background));
    try {
      this.#tables = new NfTables();
      this.#stops.push(watchNfTables(() => void this.look()));
    } catch (error) {
      // A kernel without nftables has no rules of it.
      if (codeOf(error) !== 'EPROTONOSUPPORT') throw error;
    }
    try {
      this.#policies = new IpsecPolicies();
      this.#stops.push(watchIpsecPolicies(() => void this.look()));
    } catch (error) {
      if (codeOf(error) !== 'EPROTONOSUPPORT') throw error;
    }
    this.#timer = new Beat(LOOK_MS, () => void this.look()).unref();
  }

  #hear(news: BridgeNews): void {
    let isDue = false;
    for (const link of this.#links()) if (link.hear(news)) isDue = true;
    if (isDue) void this.look();
  }

  /** Looks at all links, and once more where it was called meanwhile. */
  async look(): Promise<void> {
    this.#again = true;
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#again) {
        this.#again = false;
        await this.#lookOnce();
      }
    } finally {
      this.#busy = false;
    }
  }

  async #lookOnce(): Promise<void> {
    const links = this.#links();
    if (links.length === 0) return;
    const [chains, policies] = await Promise.all([this.#chainsNow(), this.#policiesNow()]);
    for (const link of links) {
      if (chains === undefined) link.stop('the rules of nftables cannot be read');
      else await link.look({ chains, policies }, performance.now());
    }
  }

  async #chainsNow(): Promise<readonly NftChain[] | undefined> {
    if (this.#tables === undefined) return [];
    try {
      const generation = await this.#tables.generation();
      if (generation !== this.#chains.generation) {
        this.#chains = { generation, chains: await this.#tables.chains() };
      }
      return this.#chains.chains;
    } catch (error) {
      // So says a kernel that has nfnetlink and no nf_tables.
      return codeOf(error) === 'EINVAL' ? [] : undefined;
    }
  }

  /** How many are about what leaves; undefined where nobody may ask. */
  async #policiesNow(): Promise<number | undefined> {
    try {
      return (await this.#policies?.outward()) ?? 0;
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.#timer?.close();
    for (const stop of this.#stops) stop();
    this.#tables?.close();
    this.#tables = undefined;
    this.#policies?.close();
    this.#policies = undefined;
  }
}
