/**
 * The FORWARD chain of iptables-legacy, which is not in nftables and which `nft` cannot change: read
 * as the old tool does, by getsockopt (linux/netfilter_ipv4/ip_tables.h). Structures are in host
 * byte order, laid out as on 64-bit machines.
 * @module
 */
import { readFileSync } from 'node:fs';
import { AF_INET, IPPROTO_IP, SOCK_CLOEXEC, SOCK_RAW } from '../libc/constants.ts';
import { addressOf, libc } from '../libc/libc.ts';

const IPPROTO_RAW = 255;
const IPT_SO_GET_INFO = 64;
const IPT_SO_GET_ENTRIES = 65;
const NF_INET_FORWARD = 2;
/** struct ipt_getinfo: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size. */
const INFO_BYTES = 84;
const INFO = { HOOK_ENTRY: 36, UNDERFLOW: 56, SIZE: 80 } as const;
/** struct ipt_get_entries: name[32], size, padding, then the entries. */
const ENTRIES = { SIZE: 32, TABLE: 40 } as const;
/** struct ipt_entry: an ipt_ip with the interfaces' names, offsets, counters; then matches, target. */
const ENTRY = { IN: 16, OUT: 32, TARGET_OFFSET: 88, NEXT_OFFSET: 90, BYTES: 112 } as const;
const INTERFACE_BYTES = 16;
/** struct xt_standard_target: size u16, name[29], revision u8, then the verdict. */
const TARGET = { NAME: 2, VERDICT: 32 } as const;
/** Verdicts are kept as -verdict - 1. */
const [VERDICT_DROP, VERDICT_ACCEPT] = [-1, -2];
const TABLE_BYTES_MAX = 16 << 20;

export type LegacyForward = {
  policy: 'accept' | 'drop';
  /** Devices that a rule without any other condition accepts, by direction. */
  accepted: { iifname: string[]; oifname: string[] };
};

/** What of iptables-legacy is in use. */
export type LegacyTables = {
  /** Its chain FORWARD; undefined where there is none, or it may not be read. */
  forward: LegacyForward | undefined;
  /** Whether it may translate addresses. */
  nat: boolean;
};

/** Looks without making the kernel load the old tables. */
export function readLegacyTables(): LegacyTables {
  let names: string[];
  try {
    names = readFileSync('/proc/thread-self/net/ip_tables_names', 'latin1').split('\n');
  } catch {
    // A kernel without them, or a file that only root may read.
    names = [];
  }
  // Asking for a table that nobody uses would create it.
  const forward = names.includes('filter') ? readFilter() : undefined;
  return { forward, nat: names.includes('nat') };
}

function readFilter(): LegacyForward | undefined {
  const fd = libc.socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd === -1) return undefined;
  try {
    return readForward(fd);
  } finally {
    libc.close(fd);
  }
}

function ask(fd: number, option: number, bytes: Buffer): boolean {
  bytes.write('filter\0', 0, 'latin1');
  const length = Uint32Array.of(bytes.length);
  return libc.getsockopt(fd, IPPROTO_IP, option, addressOf(bytes), addressOf(length)) === 0;
}

function readForward(fd: number): LegacyForward | undefined {
  const info = Buffer.alloc(INFO_BYTES);
  if (!ask(fd, IPT_SO_GET_INFO, info)) return undefined;
  const size = info.readUInt32LE(INFO.SIZE);
  if (size > TABLE_BYTES_MAX) return undefined;
  const entries = Buffer.alloc(ENTRIES.TABLE + size);
  entries.writeUInt32LE(size, ENTRIES.SIZE);
  if (!ask(fd, IPT_SO_GET_ENTRIES, entries)) return undefined;
  const table = entries.subarray(ENTRIES.TABLE);
  const first = info.readUInt32LE(INFO.HOOK_ENTRY + 4 * NF_INET_FORWARD);
  const last = info.readUInt32LE(INFO.UNDERFLOW + 4 * NF_INET_FORWARD);
  const accepted: LegacyForward['accepted'] = { iifname: [], oifname: [] };
  for (let at = first; at < last && at + ENTRY.BYTES <= table.length; ) {
    const entry = table.subarray(at);
    const next = entry.readUInt16LE(ENTRY.NEXT_OFFSET);
    if (next < ENTRY.BYTES) return undefined;
    // A target right behind the entry: no match beside the interfaces.
    const isPlain = entry.readUInt16LE(ENTRY.TARGET_OFFSET) === ENTRY.BYTES;
    if (isPlain && verdictOf(entry) === VERDICT_ACCEPT) {
      const [input, output] = [nameAt(entry, ENTRY.IN), nameAt(entry, ENTRY.OUT)];
      if (input !== '' && output === '') accepted.iifname.push(input);
      if (output !== '' && input === '') accepted.oifname.push(output);
    }
    at += next;
  }
  const policy = verdictOf(table.subarray(last)) === VERDICT_DROP ? 'drop' : 'accept';
  return { policy, accepted };
}

function nameAt(entry: Buffer, offset: number): string {
  const name = entry.toString('latin1', offset, offset + INTERFACE_BYTES);
  return name.replace(/\0.*$/s, '');
}

/** A standard target's verdict; undefined for an extension's or a jump that has a name. */
function verdictOf(entry: Buffer): number | undefined {
  if (entry.length < ENTRY.BYTES) return undefined;
  const target = entry.subarray(entry.readUInt16LE(ENTRY.TARGET_OFFSET));
  if (target.length < TARGET.VERDICT + 4 || target[TARGET.NAME] !== 0) return undefined;
  return target.readInt32LE(TARGET.VERDICT);
}
