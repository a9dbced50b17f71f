/**
 * Lines of `nft -f` as messages of nf_tables, as far as our own rules need them: a program started for
 * each table costs more than all the rest of a link. What is not known here is `nft`'s to read.
 * @module
 */
import { isIPv4, isIPv6 } from 'node:net';
import { parseIpv4 } from '../../../net/ipv4.ts';
import { parseIpv6 } from '../../../net/ipv6.ts';
import { maskOf } from '../../../net/prefix.ts';
import { MessageWriter } from '../codec.ts';
import { type NetlinkRequest, NLM_F_APPEND, NLM_F_CREATE } from '../socket.ts';
import { u32Bytes } from '../writer.ts';
import {
  CHAIN,
  familyNumber,
  HOOK,
  isNftFamily,
  NFT_MSG,
  type NftFamily,
  nfHeader,
  RULE,
  TABLE_NAME,
  UDATA_COMMENT,
} from './codec.ts';
import * as nf from './expressions.ts';

/** A chain that a transaction changes; '' as its name stands for all of its table. */
export type TouchedChain = { family: NftFamily; table: string; name: string };

/** Messages, each called by the line that it is for. */
export type NfTransaction = { messages: NetlinkRequest[]; touched: TouchedChain[] };

const HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting'];
const NF_ACCEPT = 1;
const SET = { TABLE: 1, NAME: 2, FLAGS: 3, KEY_TYPE: 4, KEY_LEN: 5, ID: 10, USERDATA: 13 } as const;
const SET_ANONYMOUS_CONSTANT = 3;
const ELEMENTS = { TABLE: 1, SET: 2, LIST: 3, SET_ID: 4 } as const;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_DATA_VALUE = 1;
/** nft's own numbers of types and byte orders, by which it prints a set again. */
const KEY_TYPE = { protocol: 12, interface: 41 } as const;
const BYTE_ORDER = { host: 1, network: 2 } as const;
const UDATA_SET_KEY_BYTE_ORDER = 0;
/** The kernel puts a number in its place. */
const SET_NAME = '__set%d';
/** In network order. */
const ETHERTYPE_IPV6 = Buffer.of(0x86, 0xdd);
const COMMENT_BYTES_MAX = 128;
const IPPROTO_UDP = 17;
const IPPROTO_ICMPV6 = 58;
const ND_ROUTER_ADVERT = 134;

/** A line, or a part of one, that is not known here. */
class Unknown extends Error {}

/** The words of a rule, taken one after the other. */
class Words {
  readonly #words: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#words = text.match(/"[^"]*"|[^\s"]+/g) ?? [];
  }

  get isOver(): boolean {
    return this.#at >= this.#words.length;
  }

  next(): string {
    const word = this.#words[this.#at++];
    if (word === undefined) throw new Unknown('it ends early');
    return word;
  }

  /** Takes the next word if it is this one. */
  has(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }

  quoted(): string {
    const word = this.next();
    if (!/^"[^"]*"$/.test(word)) throw new Unknown(word);
    return word.slice(1, -1);
  }

  number(max: number): number {
    const word = this.next();
    const value = Number(word);
    if (!/^[0-9]+$/.test(word) || value > max) throw new Unknown(word);
    return value;
  }
}

/** One table's rules on their way into messages. */
class RuleText {
  readonly sets: Omit<NetlinkRequest, 'operation'>[] = [];
  readonly parts: Buffer[] = [];
  comment = '';
  readonly #family: NftFamily;
  readonly #table: string;
  readonly #nextSet: () => number;

  constructor(family: NftFamily, table: string, nextSet: () => number) {
    this.#family = family;
    this.#table = table;
    this.#nextSet = nextSet;
  }

  read(text: string): void {
    const words = new Words(text);
    while (!words.isOver) this.#statement(words);
  }

  #statement(words: Words): void {
    const word = words.next();
    switch (word) {
      case 'counter':
        this.parts.push(nf.counter());
        return;
      case 'accept':
      case 'drop':
        this.parts.push(nf.verdict(word));
        return;
      case 'goto':
        this.parts.push(nf.verdict({ goto: words.next() }));
        return;
      case 'masquerade':
        this.parts.push(nf.masquerade());
        return;
      case 'comment':
        this.comment = words.quoted();
        return;
      case 'snat':
        this.#snat(words);
        return;
      case 'iifname':
      case 'oifname':
        this.#interface(word, words);
        return;
      default:
        this.#match(word, words);
    }
  }

  #interface(which: 'iifname' | 'oifname', words: Words): void {
    this.parts.push(nf.meta(which));
    if (!words.has('{')) {
      const isEqual = !words.has('!=');
      this.parts.push(nf.compare(isEqual, interfaceBytes(words.quoted())));
      return;
    }
    const names: Buffer[] = [];
    // The comma may stand at the word before it.
    for (let isOver = false; !isOver; isOver = words.has('}')) {
      names.push(interfaceBytes(words.quoted()));
      words.has(',');
    }
    this.#set(KEY_TYPE.interface, names);
  }

  /** A field, or what the kernel knows, compared with a value. */
  #match(word: string, words: Words): void {
    const name = `${word} ${words.next()}`;
    if (name === 'meta l4proto' || name === 'ip protocol') {
      this.parts.push(name === 'meta l4proto' ? nf.meta('l4proto') : nf.payload(field(name)));
      if (!words.has('{')) throw new Unknown(name);
      const numbers: Buffer[] = [];
      for (let isOver = false; !isOver; isOver = words.has('}')) {
        numbers.push(Buffer.of(Number(words.next().replace(/,$/, '')) & 255));
      }
      this.#set(KEY_TYPE.protocol, numbers);
    } else if (name === 'udp dport') {
      const port = Buffer.alloc(2);
      port.writeUInt16BE(words.number(0xffff));
      this.parts.push(nf.meta('l4proto'), nf.compare(true, Buffer.of(IPPROTO_UDP)));
      this.parts.push(nf.payload(field(name)), nf.compare(true, port));
    } else if (name === 'icmpv6 type' && words.has('nd-router-advert')) {
      this.parts.push(nf.meta('protocol'), nf.compare(true, ETHERTYPE_IPV6));
      this.parts.push(nf.meta('l4proto'), nf.compare(true, Buffer.of(IPPROTO_ICMPV6)));
      this.parts.push(nf.payload(field(name)), nf.compare(true, Buffer.of(ND_ROUTER_ADVERT)));
    } else if (/^ip6? [sd]addr$/.test(name)) {
      this.#address(name, words);
    } else throw new Unknown(name);
  }

  #address(name: string, words: Words): void {
    const isEqual = !words.has('!=');
    const { address, bits } = prefixBytes(words.next());
    this.parts.push(nf.payload(field(name)));
    if (bits !== undefined) this.parts.push(nf.mask(bits));
    this.parts.push(nf.compare(isEqual, address));
  }

  #snat(words: Words): void {
    if (!words.has('to')) throw new Unknown('snat');
    const word = words.next();
    if (word === 'ip' && words.has('saddr')) this.parts.push(nf.payload(field('ip saddr')));
    else this.parts.push(nf.load(prefixBytes(word).address));
    this.parts.push(nf.sourceNat(familyNumber(this.#family)));
  }

  /** A set of its own for one comparison. */
  #set(type: number, keys: readonly Buffer[]): void {
    const id = this.#nextSet();
    const header = nfHeader(this.#family);
    const set = new MessageWriter(header).text(SET.TABLE, this.#table).text(SET.NAME, SET_NAME);
    set.be32(SET.FLAGS, SET_ANONYMOUS_CONSTANT).be32(SET.KEY_TYPE, type);
    set.be32(SET.KEY_LEN, keys[0]?.length ?? 0).be32(SET.ID, id);
    const order = type === KEY_TYPE.interface ? BYTE_ORDER.host : BYTE_ORDER.network;
    set.bytes(SET.USERDATA, userData(UDATA_SET_KEY_BYTE_ORDER, u32Bytes(order)));
    this.sets.push({ type: NFT_MSG.NEWSET, flags: NLM_F_CREATE, body: set.build() });
    const elements = new MessageWriter(header).text(ELEMENTS.TABLE, this.#table);
    elements.text(ELEMENTS.SET, SET_NAME).be32(ELEMENTS.SET_ID, id);
    elements.nested(ELEMENTS.LIST, (list) => {
      for (const key of keys) {
        list.nested(NFTA_LIST_ELEM, (one) => {
          one.nested(NFTA_SET_ELEM_KEY, (data) => data.bytes(NFTA_DATA_VALUE, key));
        });
      }
    });
    this.sets.push({ type: NFT_MSG.NEWSETELEM, flags: NLM_F_CREATE, body: elements.build() });
    this.parts.push(nf.lookup(SET_NAME, id));
  }
}

function field(name: string): nf.Field {
  const found = nf.FIELDS[name];
  if (found === undefined) throw new Unknown(name);
  return found;
}

function interfaceBytes(name: string): Buffer {
  const bytes = Buffer.alloc(nf.INTERFACE_BYTES);
  if (name === '' || Buffer.byteLength(name) >= nf.INTERFACE_BYTES) throw new Unknown(name);
  bytes.write(name);
  return bytes;
}

/** An address or a prefix; `bits` are its mask, undefined where all bits count. */
function prefixBytes(text: string): { address: Buffer; bits: Buffer | undefined } {
  const [host = '', lengthText] = text.split('/');
  if (isIPv6(host) && lengthText === undefined) {
    return { address: Buffer.from(parseIpv6(host)), bits: undefined };
  }
  const length = lengthText === undefined ? 32 : Number(lengthText);
  if (!isIPv4(host) || !Number.isInteger(length) || length < 1 || length > 32) {
    throw new Unknown(text);
  }
  const address = Buffer.alloc(4);
  address.writeUInt32BE((parseIpv4(host) & maskOf(length)) >>> 0);
  if (length === 32) return { address, bits: undefined };
  const bits = Buffer.alloc(4);
  bits.writeUInt32BE(maskOf(length));
  return { address, bits };
}

/** Reads `{ type nat hook postrouting priority 100; policy accept; }`, or nothing at all. */
function baseOf(text: string, writer: MessageWriter): void {
  if (text === '') return;
  const found = /^\{ type (nat|filter) hook ([a-z]+) priority (-?[0-9]+); policy accept; \}$/.exec(
    text,
  );
  const [, type = '', hook = '', priority = ''] = found ?? [];
  const number = HOOKS.indexOf(hook);
  if (number < 0) throw new Unknown(text);
  writer.nested(CHAIN.HOOK, (inner) => {
    inner.be32(HOOK.NUM, number).be32(HOOK.PRIORITY, Number(priority));
  });
  writer.be32(CHAIN.POLICY, NF_ACCEPT).text(CHAIN.TYPE, type);
}

class Transaction {
  readonly messages: NetlinkRequest[] = [];
  readonly touched = new Map<string, TouchedChain>();
  #sets = 0;

  line(line: string): void {
    const [action = '', what = '', family = '', table = '', ...rest] = line.split(' ');
    if (!isNftFamily(family) || table === '') throw new Unknown(line);
    const put = (type: number, flags: number, body: MessageWriter): void => {
      this.messages.push({ type, flags, body: body.build(), operation: line });
    };
    const writer = new MessageWriter(nfHeader(family));
    if (what === 'table') {
      if (rest.length > 0) throw new Unknown(line);
      writer.text(TABLE_NAME, table);
      if (action === 'add') put(NFT_MSG.NEWTABLE, NLM_F_CREATE, writer);
      else if (action === 'delete') put(NFT_MSG.DELTABLE, 0, writer);
      else throw new Unknown(line);
      if (action === 'delete') this.#touch({ family, table, name: '' });
      return;
    }
    const [name = '', ...words] = rest;
    if (name === '') throw new Unknown(line);
    this.#touch({ family, table, name });
    const text = words.join(' ');
    if (what === 'chain') {
      if (action === 'flush' && text === '') {
        put(NFT_MSG.DELRULE, 0, writer.text(RULE.TABLE, table).text(RULE.CHAIN, name));
        return;
      }
      writer.text(CHAIN.TABLE, table).text(CHAIN.NAME, name);
      if (action === 'delete' && text === '') put(NFT_MSG.DELCHAIN, 0, writer);
      else if (action === 'add') {
        baseOf(text, writer);
        put(NFT_MSG.NEWCHAIN, NLM_F_CREATE, writer);
      } else throw new Unknown(line);
      return;
    }
    if (what !== 'rule') throw new Unknown(line);
    writer.text(RULE.TABLE, table).text(RULE.CHAIN, name);
    if (action === 'delete') {
      const [, handle] = /^handle ([0-9]+)$/.exec(text) ?? [];
      if (handle === undefined) throw new Unknown(line);
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(BigInt(handle));
      put(NFT_MSG.DELRULE, 0, writer.bytes(RULE.HANDLE, bytes));
      return;
    }
    if (action !== 'add' && action !== 'insert') throw new Unknown(line);
    const rule = new RuleText(family, table, () => ++this.#sets);
    rule.read(text);
    for (const message of rule.sets) this.messages.push({ ...message, operation: line });
    writer.bytes(RULE.EXPRESSIONS, Buffer.concat(rule.parts));
    if (rule.comment !== '') writer.bytes(RULE.USERDATA, commentBytes(rule.comment));
    put(NFT_MSG.NEWRULE, NLM_F_CREATE | (action === 'add' ? NLM_F_APPEND : 0), writer);
  }

  #touch(chain: TouchedChain): void {
    this.touched.set(`${chain.family} ${chain.table} ${chain.name}`, chain);
  }
}

/** What nft keeps beside a rule or set: type, length, value. */
function userData(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, value.length), value]);
}

function commentBytes(comment: string): Buffer {
  const text = Buffer.from(`${comment}\0`);
  if (text.length > COMMENT_BYTES_MAX) throw new Unknown(comment);
  return userData(UDATA_COMMENT, text);
}

/** What a text comes to; undefined where some of it is not known here. */
export function nfTransaction(text: string): NfTransaction | undefined {
  const transaction = new Transaction();
  try {
    for (const line of text.split('\n')) if (line !== '') transaction.line(line);
  } catch (error) {
    if (error instanceof Unknown) return undefined;
    throw error;
  }
  const { messages, touched } = transaction;
  return { messages, touched: [...touched.values()] };
}
