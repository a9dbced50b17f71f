/**
 * The program `nft`, for what netlink/nf does not know how to say. Rules go to `nft -f -` on stdin and are
 * made of checked numbers and names only; no shell sees them.
 * @module
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../errors.ts';

const OUTPUT_BYTES_MAX = 65_536;
const ANSWER_TIMEOUT_MS = 10_000;
/** Where Debian keeps it; a user's PATH often lacks the sbin folders. */
const FALLBACK_FOLDERS = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

/** `nft` is missing (`ENOENT`) or refused (`EREFUSED`, its own words in the message). */
export class NftError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'NftError';
    this.code = code;
  }
}

/** The path of a program for administrators, undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), ...FALLBACK_FOLDERS];
  for (const folder of folders) {
    if (!folder.startsWith('/')) continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The path of `nft`, undefined where it is not installed. */
export function findNft(): string | undefined {
  return findProgram('nft');
}

export function hasNft(): boolean {
  return findNft() !== undefined;
}

const TABLE_PREFIX = 'fanway_';
/** Those for ports of a bridge have a prefix of their own. */
const OWN_TABLE = /^fanway[_-]/;

/** The table's name: `fanway_` and the link, with what nft does not take in a name replaced. */
export function tableOf(link: string): string {
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(link)) throw new Error(`'${link}' is not a link name`);
  // Hex for the odd characters keeps two links apart (`fan-1` and `fan.1`).
  const odd = (character: string) => `_${character.charCodeAt(0).toString(16)}`;
  return `${TABLE_PREFIX}${link.replace(/[^a-zA-Z0-9]/g, odd)}`;
}

/** A device's name for use in a rule. @throws Error for one that a rule cannot hold. */
export function checkDevice(name: string): string {
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(name)) throw new Error(`'${name}' is not a device name`);
  return name;
}

/**
 * Loads rules in one transaction: all of them or none.
 * @throws NftError ENOENT when nft is missing, EREFUSED when the kernel or nft refuses.
 */
export async function loadRules(text: string): Promise<void> {
  await nft(['-f', '-'], text);
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
    if (name !== '' && !OWN_TABLE.test(name)) names.push(`${family} ${name}`);
  }
  return names;
}

/**
 * Runs nft in the namespace the main thread is in.
 * @throws NftError as {@link loadRules}, and ETIMEDOUT.
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
