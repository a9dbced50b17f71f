/**
 * nf_tables messages of nfnetlink as bytes: chains and rules in, requests out
 * (linux/netfilter/nf_tables.h). Attributes are in network byte order; nothing here is IPv4 only.
 * @module
 */
import { readAttributes } from '../codec.ts';
import { LITTLE } from '../socket.ts';

const NFNL_SUBSYS_NFTABLES = 10;
const of = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message;
/** Message types with their subsystem. */
export const NFT_MSG = {
  ...{ NEWTABLE: of(0), DELTABLE: of(2), NEWCHAIN: of(3), GETCHAIN: of(4), DELCHAIN: of(5) },
  ...{ NEWRULE: of(6), GETRULE: of(7), DELRULE: of(8), NEWSET: of(9), NEWSETELEM: of(12) },
  ...{ NEWGEN: of(15), GETGEN: of(16) },
} as const;
/** What a transaction begins and ends with (linux/netfilter/nfnetlink.h). */
export const BATCH = { BEGIN: 16, END: 17 } as const;

const NFTA_GEN_ID = 1;
/** Attributes of tables, chains, their hooks, and rules. */
export const TABLE_NAME = 1;
export const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
export const HOOK = { NUM: 1, PRIORITY: 2 } as const;
export const RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3, EXPRESSIONS: 4, USERDATA: 7 } as const;
const EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_DATA_VERDICT = 2;
const VERDICT = { CODE: 1, CHAIN: 2 } as const;
const NFTA_CMP_DATA = 3;
const NFTA_CMP_OP = 2;
const NFT_CMP_EQ = 0;
const NFTA_DATA_VALUE = 1;
const NFTA_META_KEY = 2;
const META_NAMES: Readonly<Record<number, 'iifname' | 'oifname'>> = { 6: 'iifname', 7: 'oifname' };
const NFTA_COUNTER_PACKETS = 2;
/** Kind of user data that nft keeps a rule's comment as. */
export const UDATA_COMMENT = 0;

/** NFPROTO_*, the number that a table's family has. */
const FAMILIES: Readonly<Record<number, NftFamily>> = {
  ...{ 1: 'inet', 2: 'ip', 3: 'arp', 5: 'netdev', 7: 'bridge', 10: 'ip6' },
};
export type NftFamily = 'inet' | 'ip' | 'arp' | 'netdev' | 'bridge' | 'ip6';

/** A chain; `base` is where the kernel calls it, undefined for one that rules jump to. */
export type NftChain = {
  family: NftFamily;
  table: string;
  name: string;
  /** `hook` is NF_INET_*: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting. */
  base: { type: string; hook: number; priority: number; policy: 'accept' | 'drop' } | undefined;
};

/**
 * What a rule compares: an interface's name, or some other value as it stands in the packet, a character a
 * byte (hundreds of links have thousands of rules, and a small Buffer keeps 8 kB of others' from being freed).
 */
export type NftMatch = { what: 'iifname' | 'oifname' | 'other'; equal: boolean; value: string };

export type NftRule = {
  family: NftFamily;
  table: string;
  chain: string;
  handle: number;
  comment: string;
  verdict: 'accept' | 'drop' | 'jump' | 'none';
  /** The chain that is jumped to, '' otherwise. */
  target: string;
  matches: NftMatch[];
  /** Names of all its expressions in order (`meta`, `cmp`, `counter`, `xt`, …). */
  expressions: string[];
  /** What its counter says, 0 without one. */
  packets: number;
  /** The rule as bytes without what changes by itself, in hexadecimal: two of one text are equal. */
  text: string;
};

/** NFPROTO_* of a family, 0 for all of them. */
export function familyNumber(family: NftFamily | undefined): number {
  return Number(Object.keys(FAMILIES).find((key) => FAMILIES[Number(key)] === family) ?? 0);
}

export function isNftFamily(text: string): text is NftFamily {
  return Object.values(FAMILIES).some((family) => family === text);
}

/** struct nfgenmsg: family, version, resource id. */
export function nfHeader(family: NftFamily | undefined): Buffer {
  return Buffer.of(familyNumber(family), 0, 0, 0);
}

/** The same for the two ends of a transaction, whose resource is the subsystem (network order). */
export function batchHeader(): Buffer {
  return Buffer.of(0, 0, 0, NFNL_SUBSYS_NFTABLES);
}

/** Attribute by attribute, repeated ones too. */
function* each(bytes: Buffer): Generator<Buffer> {
  for (let offset = 0; offset + 4 <= bytes.length; ) {
    const length = LITTLE ? bytes.readUInt16LE(offset) : bytes.readUInt16BE(offset);
    if (length < 4 || offset + length > bytes.length) return;
    yield bytes.subarray(offset + 4, offset + length);
    offset += (length + 3) & ~3;
  }
}

const be32 = (bytes: Buffer | undefined): number =>
  bytes !== undefined && bytes.length >= 4 ? bytes.readUInt32BE(0) : 0;
const be64 = (bytes: Buffer | undefined): number =>
  bytes !== undefined && bytes.length >= 8 ? Number(bytes.readBigUInt64BE(0)) : 0;
const text = (bytes: Buffer | undefined): string => {
  if (bytes === undefined) return '';
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
};
const inside = (bytes: Buffer | undefined): Map<number, Buffer> =>
  bytes === undefined ? new Map() : readAttributes(bytes, 0);

/** NFT_MSG_NEWGEN → the generation of the ruleset, which every change of it raises. */
export function readGeneration(payload: Buffer): number {
  return payload.length < 4 ? 0 : be32(readAttributes(payload, 4).get(NFTA_GEN_ID));
}

/** NFT_MSG_NEWCHAIN → chain; undefined for a family that we do not know. */
export function readChain(payload: Buffer): NftChain | undefined {
  const family = payload.length < 4 ? undefined : FAMILIES[payload.readUInt8(0)];
  if (family === undefined) return undefined;
  const attributes = readAttributes(payload, 4);
  const hook = attributes.get(CHAIN.HOOK);
  const at = inside(hook);
  return {
    family,
    table: text(attributes.get(CHAIN.TABLE)),
    name: text(attributes.get(CHAIN.NAME)),
    base:
      hook === undefined
        ? undefined
        : {
            type: text(attributes.get(CHAIN.TYPE)),
            hook: be32(at.get(HOOK.NUM)),
            priority: be32(at.get(HOOK.PRIORITY)) | 0,
            policy: be32(attributes.get(CHAIN.POLICY)) === 0 ? 'drop' : 'accept',
          },
  };
}

/** NFT_MSG_NEWRULE → rule; undefined for a family that we do not know. */
export function readRule(payload: Buffer): NftRule | undefined {
  const family = payload.length < 4 ? undefined : FAMILIES[payload.readUInt8(0)];
  if (family === undefined) return undefined;
  const attributes = readAttributes(payload, 4);
  const rule: NftRule = {
    family,
    table: text(attributes.get(RULE.TABLE)),
    chain: text(attributes.get(RULE.CHAIN)),
    handle: be64(attributes.get(RULE.HANDLE)),
    comment: readComment(attributes.get(RULE.USERDATA)),
    ...{ verdict: 'none', target: '', matches: [], expressions: [], packets: 0, text: '' },
  };
  let compared: NftMatch['what'] = 'other';
  for (const element of each(attributes.get(RULE.EXPRESSIONS) ?? Buffer.alloc(0))) {
    const expression = readAttributes(element, 0);
    const name = text(expression.get(EXPR.NAME));
    const data = inside(expression.get(EXPR.DATA));
    rule.expressions.push(name);
    if (name === 'counter') rule.packets = be64(data.get(NFTA_COUNTER_PACKETS));
    else rule.text += element.toString('hex');
    if (name === 'meta') compared = META_NAMES[be32(data.get(NFTA_META_KEY))] ?? 'other';
    else if (name === 'cmp') {
      const value = inside(data.get(NFTA_CMP_DATA)).get(NFTA_DATA_VALUE) ?? Buffer.alloc(0);
      const equal = be32(data.get(NFTA_CMP_OP)) === NFT_CMP_EQ;
      rule.matches.push({ what: compared, equal, value: value.toString('latin1') });
      compared = 'other';
    } else if (name === 'immediate') {
      readVerdict(rule, inside(data.get(NFTA_IMMEDIATE_DATA)).get(NFTA_DATA_VERDICT));
    } else compared = 'other';
  }
  return rule;
}

function readVerdict(rule: NftRule, verdict: Buffer | undefined): void {
  if (verdict === undefined) return;
  const attributes = readAttributes(verdict, 0);
  const code = be32(attributes.get(VERDICT.CODE)) | 0;
  // NF_DROP, NF_ACCEPT, NFT_JUMP and NFT_GOTO.
  if (code === 0) rule.verdict = 'drop';
  else if (code === 1) rule.verdict = 'accept';
  else if (code === -3 || code === -4) {
    rule.verdict = 'jump';
    rule.target = text(attributes.get(VERDICT.CHAIN));
  }
}

/** User data is a list of type, length, value; nft keeps a rule's comment there. */
function readComment(userdata: Buffer | undefined): string {
  for (let offset = 0; userdata !== undefined && offset + 2 <= userdata.length; ) {
    const length = userdata.readUInt8(offset + 1);
    const value = userdata.subarray(offset + 2, offset + 2 + length);
    if (userdata.readUInt8(offset) === UDATA_COMMENT) return text(value);
    offset += 2 + length;
  }
  return '';
}
