/**
 * The nftables ruleset through nfnetlink: cheap enough to read every few seconds and to change for each
 * link, where running `nft` is not. What is to be changed comes as messages (text.ts).
 * @module
 */
import { codeOf } from '../../../errors.ts';
import { MessageWriter } from '../codec.ts';
import { NETLINK_NETFILTER } from '../raw.ts';
import { listen, type NetlinkMessage, type NetlinkRequest, NetlinkSocket } from '../socket.ts';
import {
  BATCH,
  batchHeader,
  CHAIN,
  NFT_MSG,
  type NftChain,
  type NftRule,
  nfHeader,
  RULE,
  readChain,
  readGeneration,
  readRule,
} from './codec.ts';

function generationIn(answer: readonly NetlinkMessage[]): number {
  const message = answer.find(({ type }) => type === NFT_MSG.NEWGEN);
  return message === undefined ? 0 : readGeneration(message.payload);
}

export type { NftChain, NftFamily, NftMatch, NftRule } from './codec.ts';

const NFNLGRP_NFTABLES = 7;

/** Which chain. */
export type ChainName = Pick<NftChain, 'family' | 'table' | 'name'>;
type RuleFilter = Pick<NftChain, 'family'> & { table?: string; name?: string };

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
    return generationIn(answer);
  }

  /** All chains of all tables. @throws NetlinkError as {@link generation}. */
  async chains(): Promise<NftChain[]> {
    const body = nfHeader(undefined);
    return this.#socket.dump('list chains', NFT_MSG.GETCHAIN, body, readChain);
  }

  /** One chain, undefined where there is none. @throws NetlinkError as {@link generation}. */
  async chain({ family, table, name }: ChainName): Promise<NftChain | undefined> {
    const writer = new MessageWriter(nfHeader(family));
    const body = writer.text(CHAIN.TABLE, table).text(CHAIN.NAME, name).build();
    try {
      const messages = await this.#socket.request('find a chain', NFT_MSG.GETCHAIN, 0, body);
      return messages.flatMap(({ payload }) => readChain(payload) ?? [])[0];
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /**
   * Rules, those of a chain in order: of one chain, of a table without `name`, of a family without
   * `table`.
   * @throws NetlinkError ENOENT when the table is gone.
   */
  async rules({ family, table, name }: RuleFilter): Promise<NftRule[]> {
    const writer = new MessageWriter(nfHeader(family));
    if (table !== undefined) writer.text(RULE.TABLE, table);
    if (name !== undefined) writer.text(RULE.CHAIN, name);
    const rules = await this.#socket.dump(
      ...(['list rules', NFT_MSG.GETRULE, writer.build(), readRule] as const),
    );
    return (
      rules
        // Kernels before 4.6 ignore what was asked for and list everything.
        .filter(
          (rule) =>
            rule.family === family &&
            (table === undefined || rule.table === table) &&
            (name === undefined || rule.chain === name),
        )
    );
  }

  /**
   * Makes all of these changes or none.
   * @returns the generation that they made
   * @throws NetlinkError whose operation is that of the first message refused.
   */
  async change(requests: readonly NetlinkRequest[]): Promise<number> {
    const end = (type: number): NetlinkRequest => {
      return { operation: 'change the ruleset', type, flags: 0, body: batchHeader() };
    };
    const body = nfHeader(undefined);
    const answer = await this.#socket.batch([end(BATCH.BEGIN), ...requests, end(BATCH.END)], {
      ...{ operation: 'ask nf_tables', type: NFT_MSG.GETGEN, flags: 0, body },
    });
    return generationIn(answer);
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * Calls `listener` after each change of the ruleset with its generation, 0 where changes were missed;
 * returns how to end it. Does not keep the loop.
 */
export function watchNfTables(listener: (generation: number) => void): () => void {
  return listen(
    [NFNLGRP_NFTABLES],
    // Each change of the ruleset ends with one of these.
    (message) => {
      if (message.type === NFT_MSG.NEWGEN) listener(readGeneration(message.payload));
    },
    () => listener(0),
    { background: true, protocol: NETLINK_NETFILTER },
  );
}
