/**
 * What a rule of nf_tables is made of, as bytes (linux/netfilter/nf_tables.h): each expression loads
 * something of the packet into register 1, compares what is there, or does something with the packet.
 * @module
 */
import { MessageWriter } from '../codec.ts';

const NFTA_LIST_ELEM = 1;
const EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
/** Sixteen bytes wide; a verdict has a register of its own, number 0. */
const REGISTER = 1;
const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
const PAYLOAD_BASE = { network: 1, transport: 2 } as const;
const META = { DREG: 1, KEY: 2 } as const;
const META_KEY = { protocol: 1, iifname: 6, oifname: 7, l4proto: 16 } as const;
const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
const BITWISE = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5 } as const;
const LOOKUP = { SET: 1, SREG: 2, SET_ID: 4 } as const;
const NAT = { TYPE: 1, FAMILY: 2, ADDR_MIN: 3 } as const;
const NFT_NAT_SNAT = 0;
const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
const VERDICT = { CODE: 1, CHAIN: 2 } as const;
const NF_DROP = 0;
const NF_ACCEPT = 1;
const NFT_GOTO = -4;
/** Bytes of an interface's name where it is compared whole (IFNAMSIZ). */
export const INTERFACE_BYTES = 16;

/** Where something is in a packet, and how long it is, bytes. */
export type Field = { base: keyof typeof PAYLOAD_BASE; offset: number; bytes: number };

/** Fields of packets that our rules look at, by nft's names. */
export const FIELDS: Readonly<Record<string, Field>> = {
  'ip saddr': { base: 'network', offset: 12, bytes: 4 },
  'ip daddr': { base: 'network', offset: 16, bytes: 4 },
  'ip protocol': { base: 'network', offset: 9, bytes: 1 },
  'ip6 saddr': { base: 'network', offset: 8, bytes: 16 },
  'ip6 daddr': { base: 'network', offset: 24, bytes: 16 },
  'udp dport': { base: 'transport', offset: 2, bytes: 2 },
  'icmpv6 type': { base: 'transport', offset: 0, bytes: 1 },
};

/** One element of a list of attributes. */
function element(name: string, fill: (data: MessageWriter) => void): Buffer {
  const inner = new MessageWriter().text(EXPR.NAME, name).nested(EXPR.DATA, fill);
  return new MessageWriter().bytes(NFTA_LIST_ELEM, inner.build()).build();
}

function value(writer: MessageWriter, type: number, bytes: Buffer): void {
  writer.nested(type, (inner) => inner.bytes(NFTA_DATA_VALUE, bytes));
}

/** Loads a field of the packet. */
export function payload({ base, offset, bytes }: Field): Buffer {
  return element('payload', (data) => {
    data.be32(PAYLOAD.DREG, REGISTER).be32(PAYLOAD.BASE, PAYLOAD_BASE[base]);
    data.be32(PAYLOAD.OFFSET, offset).be32(PAYLOAD.LEN, bytes);
  });
}

/** Loads what the kernel knows of the packet. */
export function meta(key: keyof typeof META_KEY): Buffer {
  return element('meta', (data) => {
    data.be32(META.DREG, REGISTER).be32(META.KEY, META_KEY[key]);
  });
}

/** Goes on where what was loaded is `bytes`, or is not. */
export function compare(isEqual: boolean, bytes: Buffer): Buffer {
  return element('cmp', (data) => {
    data.be32(CMP.SREG, REGISTER).be32(CMP.OP, isEqual ? 0 : 1);
    value(data, CMP.DATA, bytes);
  });
}

/** Keeps the bits of `mask` of what was loaded. */
export function mask(bits: Buffer): Buffer {
  return element('bitwise', (data) => {
    data.be32(BITWISE.SREG, REGISTER).be32(BITWISE.DREG, REGISTER).be32(BITWISE.LEN, bits.length);
    value(data, BITWISE.MASK, bits);
    value(data, BITWISE.XOR, Buffer.alloc(bits.length));
  });
}

/** Goes on where what was loaded is in a set of the same transaction. */
export function lookup(set: string, id: number): Buffer {
  return element('lookup', (data) => {
    data.text(LOOKUP.SET, set).be32(LOOKUP.SREG, REGISTER).be32(LOOKUP.SET_ID, id);
  });
}

/** Gives the packet the source that was loaded; `family` is NFPROTO_*. */
export function sourceNat(family: number): Buffer {
  return element('nat', (data) => {
    data.be32(NAT.TYPE, NFT_NAT_SNAT).be32(NAT.FAMILY, family).be32(NAT.ADDR_MIN, REGISTER);
  });
}

/** Loads a value. */
export function load(bytes: Buffer): Buffer {
  return element('immediate', (data) => {
    data.be32(IMMEDIATE.DREG, REGISTER);
    value(data, IMMEDIATE.DATA, bytes);
  });
}

export function masquerade(): Buffer {
  return element('masq', () => undefined);
}

export function counter(): Buffer {
  return element('counter', () => undefined);
}

/** The end of a packet's way through a chain; `goto` names another chain. */
export function verdict(what: 'accept' | 'drop' | { goto: string }): Buffer {
  const code = what === 'accept' ? NF_ACCEPT : what === 'drop' ? NF_DROP : NFT_GOTO;
  return element('immediate', (data) => {
    data.be32(IMMEDIATE.DREG, 0).nested(IMMEDIATE.DATA, (inner) => {
      inner.nested(NFTA_DATA_VERDICT, (of) => {
        of.be32(VERDICT.CODE, code);
        if (typeof what !== 'string') of.text(VERDICT.CHAIN, what.goto);
      });
    });
  });
}
