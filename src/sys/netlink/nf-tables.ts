/**
 * Reading the nftables ruleset through nfnetlink: cheap enough to look at every few seconds, where
 * running `nft` is not, and possible where `nft` is not installed. Rules are written by nft.ts.
 * @module
 */

import { MessageWriter } from './codec.ts';
import {
  NFT_MSG,
  type NftChain,
  type NftRule,
  nfHeader,
  RULE,
  readChain,
  readGeneration,
  readRule,
} from './nf-codec.ts';
import { NETLINK_NETFILTER } from './raw.ts';
import { listen, NetlinkSocket } from './socket.ts';

export type { NftChain, NftFamily, NftMatch, NftRule } from './nf-codec.ts';

const NFNLGRP_NFTABLES = 7;

/** The ruleset of the network namespace that it was opened in. */
export class NfTables {
  readonly #socket: NetlinkSocket;

  /** @throws Error with code EPROTONOSUPPORT where the kernel has no nfnetlink. */
  constructor() {
    this.#socket = new NetlinkSocket(NETLINK_NETFILTER);
  }

  /**
   * A number that every change of the ruleset raises.
   * @throws NetlinkError EPERM without CAP_NET_ADMIN, EINVAL where the kernel has no nf_tables.
   */
  async generation(): Promise<number> {
    const body = nfHeader(undefined);
    const answer = await this.#socket.request('ask nf_tables', NFT_MSG.GETGEN, 0, body);
    const message = answer.find(({ type }) => type === NFT_MSG.NEWGEN);
    return message === undefined ? 0 : readGeneration(message.payload);
  }

  /** All chains of all tables. @throws NetlinkError as {@link generation}. */
  async chains(): Promise<NftChain[]> {
    const body = nfHeader(undefined);
    const messages = await this.#socket.dump('list chains', NFT_MSG.GETCHAIN, body);
    return messages.flatMap(({ payload }) => readChain(payload) ?? []);
  }

  /** The rules of one chain, in order. @throws NetlinkError ENOENT when its table is gone. */
  async rules({ family, table, name }: NftChain): Promise<NftRule[]> {
    const writer = new MessageWriter(nfHeader(family));
    const body = writer.text(RULE.TABLE, table).text(RULE.CHAIN, name).build();
    const messages = await this.#socket.dump('list rules', NFT_MSG.GETRULE, body);
    return (
      messages
        .flatMap(({ payload }) => readRule(payload) ?? [])
        // Kernels before 4.6 ignore what was asked for and list everything.
        .filter((rule) => rule.family === family && rule.table === table && rule.chain === name)
    );
  }

  close(): void {
    this.#socket.close();
  }
}

/** Calls `listener` after each change of the ruleset; returns how to end it. Does not keep the loop. */
export function watchNfTables(listener: () => void): () => void {
  return listen(
    [NFNLGRP_NFTABLES],
    // Each change of the ruleset ends with one of these.
    (message) => {
      if (message.type === NFT_MSG.NEWGEN) listener();
    },
    () => listener(),
    { background: true, protocol: NETLINK_NETFILTER },
  );
}
