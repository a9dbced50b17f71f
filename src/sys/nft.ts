/**
 * Masquerading by nftables, if `nft` is there: one table per link, so that taking it back is
 * deleting the table. The ruleset goes to `nft -f -` on stdin and is made of checked numbers and
 * names only; no shell sees it.
 * @module
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../errors.ts';
import { formatPrefix, type Prefix } from '../net/prefix.ts';

const OUTPUT_BYTES_MAX = 65_536;
const ANSWER_TIMEOUT_MS = 10_000;
/** Where Debian keeps it; a user's PATH often lacks the sbin folders. */
const FALLBACK_FOLDERS = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

/** What is masqueraded: what comes in by `bridge` from `slice`, to anywhere outside `overlay`. */
export type Masquerade = { link: string; slice: Prefix; overlay: Prefix; bridge: string };

/** `nft` is missing (`ENOENT`) or refused (`EREFUSED`, its own words in the message). */
export class NftError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'NftError';
    this.code = code;
  }
}

/** The path of `nft`, undefined where it is not installed. */
export function findNft(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), ...FALLBACK_FOLDERS];
  for (const folder of folders) {
    if (!folder.startsWith('/')) continue;
    const path = join(folder, 'nft');
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

export function hasNft(): boolean {
  return findNft() !== undefined;
}

const TABLE_PREFIX = 'fanway_';

/** The table's name: `fanway_` and the link, with what nft does not take in a name replaced. */
export function tableOf(link: string): string {
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(link)) throw new Error(`'${link}' is not a link name`);
  // Hex for the odd characters keeps two links apart (`fan-1` and `fan.1`).
  const odd = (character: string) => `_${character.charCodeAt(0).toString(16)}`;
  return `${TABLE_PREFIX}${link.replace(/[^a-zA-Z0-9]/g, odd)}`;
}

/** The ruleset that {@link addMasquerade} loads: replaces the link's table in one transaction. */
export function masqueradeRules(rule: Masquerade): string {
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(rule.bridge)) throw new Error(`bad bridge '${rule.bridge}'`);
  const table = tableOf(rule.link);
  // Adding before deleting makes the deletion succeed whether or not the table was there.
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr ${formatPrefix(rule.slice)} ip daddr != ${formatPrefix(rule.overlay)} oifname != "${rule.bridge}" ip daddr != 224.0.0.0/4 masquerade
  }
}
`;
}

/**
 * Loads the link's masquerading, replacing what the link had.
 * @throws NftError ENOENT when nft is missing, EREFUSED when the kernel or nft refuses.
 */
export async function addMasquerade(rule: Masquerade): Promise<void> {
  await nft(['-f', '-'], masqueradeRules(rule));
}

/** Whether the link's table is loaded; false without nft. */
export async function hasMasquerade(link: string): Promise<boolean> {
  if (!hasNft()) return false;
  const table = tableOf(link);
  const listing = await nft(['-j', 'list', 'tables', 'ip'], '');
  return listing.includes(`"name": "${table}"`) || listing.includes(`"name":"${table}"`);
}

/** Removes the link's table; nothing happens when it is not there. @throws NftError. */
export async function removeMasquerade(link: string): Promise<void> {
  const table = tableOf(link);
  await nft(['-f', '-'], `add table ip ${table}\ndelete table ip ${table}\n`);
}

/** Tables that old iptables uses in this namespace (ip_tables of the kernel), one a line. */
const LEGACY_TABLES = '/proc/net/ip_tables_names';

/**
 * Tables of the packet filter that are not fanway's, as `ip nat` or `iptables nat`; those of nftables
 * only where nft is there to tell. @throws NftError.
 */
export async function otherTables(): Promise<string[]> {
  const names: string[] = [];
  try {
    const legacy = readFileSync(LEGACY_TABLES, 'latin1').split('\n');
    names.push(...legacy.filter((name) => name !== '').map((name) => `iptables ${name}`));
  } catch {
    // This kernel has no ip_tables, or has not loaded it.
  }
  if (!hasNft()) return names;
  for (const line of (await nft(['list', 'tables'], '')).split('\n')) {
    const [, family = '', name = ''] = /^table (\S+) (\S+)/.exec(line) ?? [];
    if (name !== '' && !name.startsWith(TABLE_PREFIX)) names.push(`${family} ${name}`);
  }
  return names;
}

/**
 * Runs nft in the namespace the main thread is in.
 * @throws NftError as {@link addMasquerade}, and ETIMEDOUT.
 */
export function nft(args: readonly string[], input: string): Promise<string> {
  const path = findNft();
  if (path === undefined) {
    throw new NftError('ENOENT', 'nft is not installed: install the package nftables');
  }
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { stdio: 'pipe', env: { LC_ALL: 'C' } });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new NftError('ETIMEDOUT', `nft did not answer within ${ANSWER_TIMEOUT_MS} ms`));
    }, ANSWER_TIMEOUT_MS);
    // First of all: out of descriptors there are no streams, and only this event tells.
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new NftError(codeOf(error), `cannot run nft: ${error.message}`));
    });
    let output = '';
    let problems = '';
    child.stdout?.on('data', (chunk) => {
      if (output.length < OUTPUT_BYTES_MAX) output += String(chunk);
    });
    child.stderr?.on('data', (chunk) => {
      if (problems.length < OUTPUT_BYTES_MAX) problems += String(chunk);
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      if (status === 0) resolve(output);
      else reject(new NftError('EREFUSED', `nft refused: ${problems.trim().split('\n')[0] ?? ''}`));
    });
    // A child that is gone before it read everything says why on stderr.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}
