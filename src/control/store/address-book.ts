/**
 * The address book of a slice: which part of it each container engine hands out by itself, and which
 * single addresses are in use. Whoever hands out addresses of the slice asks here first, so that no
 * two of them hand out the same one: DHCP, CNI, the ranges of Docker and podman.
 *
 * One file for each slice in the state directory, changed under a lock and replaced whole: a process
 * that dies in the middle leaves what was before.
 * @module
 */

import { chownSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { STATE_DIRECTORY_DEFAULT } from '../../config/gossip.ts';
import { codeOf, refusedError } from '../../errors.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import {
  broadcastOf,
  contains,
  formatPrefix,
  networkOf,
  type Prefix,
  parsePrefix,
} from '../../net/prefix.ts';
import { hasFields } from './link-spec.ts';
import { lockFile, putAside, readIfThere, writeAtomically } from './run-directory.ts';

const BOOK_VERSION = 1;
const BOOK_NAME = /^([0-9]{1,3}(?:\.[0-9]{1,3}){3})-([0-9]{1,2})\.json$/;
/** A /16 of containers on one host; a runtime that leaks more has to be mended. */
const LEASES_MAX = 65_536;
const CLAIMS_MAX = 64;
/** The smallest block that is worth giving to an engine, bits. */
const BLOCK_LENGTH_MAX = 29;

/** Addresses are u32, both ends included. */
export type AddressSpan = { first: number; last: number };
/** A part of the slice that an engine hands out by itself. */
type Claim = AddressSpan & { owner: string };
/** Whom a single address belongs to: CNI's three names of an attachment. */
export type LeaseKey = { network: string; container: string; interface: string };
export type Lease = LeaseKey & {
  address: number;
  owner: string;
  /** The boot in which it was taken: containers do not outlive it. */
  boot: string;
};
export type Book = { claims: Claim[]; leases: Lease[]; latest: number };

const CLAIM_FIELDS = { owner: 'string', first: 'number', last: 'number' };
const LEASE_FIELDS = {
  ...{ address: 'number', owner: 'string', boot: 'string' },
  ...{ network: 'string', container: 'string', interface: 'string' },
};

/** Where state is kept unless the environment says otherwise: an ordinary user's is their own. */
export function stateDirectoryOf(env: NodeJS.ProcessEnv): string {
  const given = env['FANWAY_STATE_DIR'];
  if (given !== undefined) return given;
  const { XDG_STATE_HOME: state = '', HOME: home = '' } = env;
  if (process.geteuid?.() === 0 || !`${state}${home}`.startsWith('/'))
    return STATE_DIRECTORY_DEFAULT;
  return state.startsWith('/') ? join(state, 'fanway') : join(home, '.local/state/fanway');
}

export class AddressBook {
  readonly slice: Prefix;
  readonly #state: string;
  readonly #directory: string;
  readonly #path: string;

  constructor(stateDirectory: string, slice: Prefix) {
    this.slice = slice;
    this.#state = stateDirectory;
    this.#directory = join(stateDirectory, 'addresses');
    this.#path = join(this.#directory, `${formatIpv4(networkOf(slice))}-${slice.length}.json`);
  }

  /** The books of all slices that this host ever had. */
  static all(stateDirectory: string): AddressBook[] {
    let files: string[];
    try {
      files = readdirSync(join(stateDirectory, 'addresses'));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
    return files.flatMap((file) => {
      const [, network, length] = BOOK_NAME.exec(file) ?? [];
      if (network === undefined || length === undefined) return [];
      return [new AddressBook(stateDirectory, parsePrefix(`${network}/${length}`))];
    });
  }

  /** What is written down; a file that cannot be read as a book is set aside. */
  read(): Book {
    const text = readIfThere(this.#path);
    const book = text === undefined ? undefined : parseBook(text);
    if (text !== undefined && book === undefined) putAside(this.#path);
    return book ?? { claims: [], leases: [], latest: 0 };
  }

  /** Changes the book under its lock; what `change` throws leaves it as it was. */
  change<T>(change: (book: Book) => T): T {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const lock = lockFile(`${this.#path}.lock`, { wait: true });
    try {
      const book = this.read();
      const before = structuredClone(book);
      const result = change(book);
      if (book.leases.length > LEASES_MAX || book.claims.length > CLAIMS_MAX) {
        throw refusedError('book-full', `${this.#path} holds too many addresses`);
      }
      if (!isDeepStrictEqual(book, before)) {
        writeAtomically(this.#path, `${JSON.stringify({ version: BOOK_VERSION, ...book })}\n`);
        this.#give();
      }
      return result;
    } finally {
      lock?.release();
    }
  }

  /** The router may run as another user than the command: it has to read what root wrote. */
  #give(): void {
    const { uid, gid } = statSync(this.#state);
    if (process.geteuid?.() !== 0 || uid === 0) return;
    for (const path of [this.#directory, this.#path, `${this.#path}.lock`]) {
      chownSync(path, uid, gid);
    }
  }
}

function parseBook(text: string): Book | undefined {
  try {
    const { version, claims, leases, latest } = JSON.parse(text) as Record<string, unknown>;
    const isBook =
      version === BOOK_VERSION &&
      typeof latest === 'number' &&
      Array.isArray(claims) &&
      claims.every((claim) => hasFields(claim, CLAIM_FIELDS)) &&
      Array.isArray(leases) &&
      leases.every((lease) => hasFields(lease, LEASE_FIELDS));
    if (!isBook) return undefined;
    return { claims: claims as Claim[], leases: leases as Lease[], latest };
  } catch {
    return undefined;
  }
}

/** The kernel's name of this boot. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

const overlap = (a: AddressSpan, b: AddressSpan): boolean => a.first <= b.last && b.first <= a.last;
const rangeOf = (block: Prefix): AddressSpan => {
  return { first: networkOf(block), last: broadcastOf(block) };
};
const textOf = ({ first, last }: AddressSpan): string =>
  `${formatIpv4(first)} to ${formatIpv4(last)}`;

/** What an engine wants a block for. */
export type BlockWish = {
  owner: string;
  /** undefined = the largest that is free. */
  block?: Prefix;
  /** Addresses that something else uses now, as far as is known. */
  busy: readonly number[];
  /** DHCP is to keep a part of the slice too. */
  shared: boolean;
};

/**
 * Gives an engine a block (a prefix) of the slice, or the one that it has. Alone it gets the whole
 * slice; else the largest block that is free.
 * @throws FanwayError when there is none, or the one that was asked for is not free.
 */
export function claimBlock(book: Book, slice: Prefix, wish: BlockWish): Prefix {
  const others = book.claims.filter(({ owner }) => owner !== wish.owner);
  const used = [...book.leases.map(({ address }) => address), ...wish.busy];
  const conflict = (block: Prefix): string | undefined => {
    const range = rangeOf(block);
    const claim = others.find((other) => overlap(other, range));
    if (claim !== undefined) return `${claim.owner} hands out ${textOf(claim)}`;
    const address = used.find((one) => contains(block, one));
    return address === undefined ? undefined : `${formatIpv4(address)} is in use`;
  };
  const take = (block: Prefix): Prefix => {
    book.claims = [...others, { owner: wish.owner, ...rangeOf(block) }];
    return block;
  };
  if (wish.block !== undefined) {
    const shown = formatPrefix(wish.block);
    if (!contains(slice, wish.block.address) || wish.block.length < slice.length) {
      throw refusedError(
        'range-outside',
        `${shown} is no part of this host's slice ${formatPrefix(slice)}`,
      );
    }
    const problem = conflict(wish.block);
    if (problem === undefined) return take(wish.block);
    throw refusedError(
      'range-taken',
      `${shown} is not free: ${problem}; fanway ip show has them all`,
    );
  }
  const alone = others.length === 0 && used.length === 0 && !wish.shared;
  for (let length = alone ? slice.length : slice.length + 1; length <= BLOCK_LENGTH_MAX; length++) {
    // From the top: what is small and early is handed out by hand first.
    for (let at = broadcastOf(slice); at >= networkOf(slice); at -= 2 ** (32 - length)) {
      const block = { address: networkOf({ address: at, length }), length };
      if (conflict(block) === undefined) return take(block);
    }
  }
  const holders = others.map(({ owner, ...range }) => `${owner} ${textOf(range)}`);
  throw refusedError(
    'slice-full',
    `nothing of slice ${formatPrefix(slice)} is left for ${wish.owner}: ${holders.join(', ') || 'its addresses are in use'}; give one of them less (--range), or another fan`,
  );
}

/** The block that an engine has, undefined where it has none. */
export function claimedBlock({ claims }: Book, owner: string): Prefix | undefined {
  const claim = claims.find((one) => one.owner === owner);
  if (claim === undefined) return undefined;
  return { address: claim.first, length: 32 - Math.log2(claim.last - claim.first + 1) };
}

/** Lets go of what an engine handed out. @returns whether it had anything. */
export function dropClaim(book: Book, owner: string): boolean {
  const before = book.claims.length;
  book.claims = book.claims.filter((claim) => claim.owner !== owner);
  return book.claims.length !== before;
}

/** What of a range nobody has claimed and no single address is taken of, in order. */
export function freeRanges(book: Book, within: AddressSpan): AddressSpan[] {
  const taken: AddressSpan[] = [
    ...book.claims,
    ...book.leases.map(({ address }) => ({ first: address, last: address })),
  ].sort((a, b) => a.first - b.first);
  const free: AddressSpan[] = [];
  let { first } = within;
  for (const range of taken) {
    if (range.last < first || range.first > within.last) continue;
    if (range.first > first) free.push({ first, last: range.first - 1 });
    first = range.last + 1;
  }
  if (first <= within.last) free.push({ first, last: within.last });
  return free;
}

/** Whether two leases are of one attachment. */
export const isSameKey = (a: LeaseKey, b: LeaseKey): boolean =>
  a.network === b.network && a.container === b.container && a.interface === b.interface;

/** What a single address is wanted for. `rooms`: where it may lie. */
export type LeaseWish = {
  owner: string;
  key: LeaseKey;
  boot: string;
  rooms: readonly AddressSpan[];
  /** undefined = the next free one. */
  address?: number;
};

/**
 * Takes an address: the next free one after the latest, so that one just given back rests (neighbours
 * may still know its old MAC). Asking again with the same key gives the same one.
 * @throws FanwayError when none is left, or the one that was asked for is taken.
 */
export function takeLease(book: Book, wish: LeaseWish): number {
  const { key, owner, boot, rooms } = wish;
  // Containers of an earlier boot are gone, whatever their runtime still thinks.
  book.leases = book.leases.filter((lease) => lease.owner !== owner || lease.boot === boot);
  const had = book.leases.find((lease) => lease.owner === owner && isSameKey(lease, key));
  if (had !== undefined && (wish.address ?? had.address) === had.address) return had.address;
  const others: Book = { ...book, claims: book.claims.filter((claim) => claim.owner !== owner) };
  const free = rooms.flatMap((room) => freeRanges(others, room)).sort((a, b) => a.first - b.first);
  const address = wish.address ?? nextOf(free, book.latest);
  if (address === undefined || !free.some((one) => one.first <= address && address <= one.last)) {
    const holders = book.claims.map((claim) => `${claim.owner} has ${textOf(claim)}`);
    throw refusedError(
      'no-address',
      `${address === undefined ? 'no address of the slice is left' : `${formatIpv4(address)} is not free`}${holders.length === 0 ? '' : ` (${holders.join(', ')})`}: fanway ip show has them all`,
    );
  }
  book.leases.push({ address, owner, boot, ...key });
  book.latest = address;
  return address;
}

function nextOf(free: readonly AddressSpan[], latest: number): number | undefined {
  const after = free.find(({ last }) => last > latest);
  return after === undefined ? free[0]?.first : Math.max(after.first, latest + 1);
}

/** Gives single addresses back. @returns how many. */
export function freeLeases(book: Book, owner: string, gone: (key: LeaseKey) => boolean): number {
  const before = book.leases.length;
  book.leases = book.leases.filter((lease) => lease.owner !== owner || !gone(lease));
  return before - book.leases.length;
}

/** The lease of an attachment. */
export function leaseOf(book: Book, owner: string, key: LeaseKey): Lease | undefined {
  return book.leases.find((lease) => lease.owner === owner && isSameKey(lease, key));
}
