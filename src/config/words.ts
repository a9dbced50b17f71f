/**
 * The words of a fan: `250.0.0.0/8 eth0/16 dhcp host-reserve 4` (fanctl 0.3.0) and
 * `-u eth0/16 -o 250.0.0.0/8 --dhcp --host-reserve=4` (fanctl 0.12), on the command line and in
 * /etc/network/fan. One reader for both, so that a line that works in one works in the other.
 * @module
 */
import { didYouMean } from './closest.ts';
import { FAN_ROWS } from './link/fan-rows.ts';
import { parseAnyOverlay, parseUnderlays } from './link/sides.ts';
import type { FanRequest } from './request.ts';
import { flagsOf, switchesOf } from './row/row.ts';
import { quote, ValueError } from './row/setting.ts';
import { findSetting, parseValue } from './schema.ts';
import { requestOf, type Values } from './settings.ts';

/** A line or command line longer than this is not meant seriously. */
export const WORDS_MAX = 64;

export type WordsResult = { request: FanRequest | undefined; problems: string[] };

/** fanctl's bare words that take no value. */
const SWITCH_WORDS = new Set(['dhcp', 'off', 'auto', 'debug']);
/** fanctl's bare words that take one. */
const VALUE_WORDS = new Set(['host-reserve', 'bridge']);

/** Flags that stand for a setting and a value. */
const SWITCH_FLAGS = switchesOf(FAN_ROWS);

/** Flags that take a value, and the setting that each is. */
const VALUE_FLAGS = flagsOf(FAN_ROWS);

/** All flags that {@link parseFanWords} knows. */
const FLAGS: readonly string[] = [...SWITCH_FLAGS.keys(), ...VALUE_FLAGS.keys(), '--auto'];

/** Which of two bare words comes first when nothing else tells. */
export type WordOrder = 'overlay-first' | 'either';

type Side = 'overlay' | 'underlay';

/** What the words of one fan have said so far. */
class WordReader {
  readonly problems: string[] = [];
  readonly values: Values = new Map();
  /** Words that belong to no flag, in order. */
  readonly bare: string[] = [];
  /** Of them those behind a flag that is not known: what it was to have, perhaps. */
  readonly doubtful = new Set<string>();
  readonly named = new Map<Side, string>();
  auto = false;
  hasFlags = false;
  hasBareWords = false;
  readonly #words: readonly string[];
  readonly #moreFlags: readonly string[];
  #index = 0;
  #isAfterUnknown = false;

  constructor(words: readonly string[], moreFlags: readonly string[]) {
    this.#words = words;
    this.#moreFlags = moreFlags;
  }

  read(): void {
    for (; this.#index < this.#words.length; this.#index++) {
      const word = this.#words[this.#index] ?? '';
      if (word.startsWith('-')) this.#readFlag(word);
      else this.#readBare(word);
    }
  }

  /** The value after `=`, or the next word. */
  #valueOf(word: string, name: string): string | undefined {
    if (name !== word) return word.slice(name.length + 1);
    this.#index++;
    const next = this.#words[this.#index];
    if (next === undefined) this.problems.push(`${name} needs a value after it`);
    return next;
  }

  #assign(key: string, text: string | undefined): void {
    const setting = findSetting('fan', key);
    if (setting === undefined || text === undefined) return;
    if (this.values.has(key)) this.problems.push(`${key} is given twice`);
    try {
      this.values.set(key, parseValue(setting, text));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.problems.push(error.message);
    }
  }

  #readBare(word: string): void {
    const takesValue = VALUE_WORDS.has(word);
    if (!takesValue && !SWITCH_WORDS.has(word)) {
      if (this.#isAfterUnknown) this.doubtful.add(word);
      this.#isAfterUnknown = false;
      this.bare.push(word);
      return;
    }
    this.hasBareWords = true;
    this.#isAfterUnknown = false;
    if (takesValue) this.#assign(word, this.#valueOf(word, word));
    else if (word === 'dhcp') this.values.set('dhcp', true);
    else if (word === 'off') this.values.set('enabled', false);
    else if (word === 'auto') this.auto = true;
    else this.problems.push('debug is not a word here: `fanway plan` shows what would be done');
  }

  #readFlag(word: string): void {
    this.hasFlags = true;
    this.#isAfterUnknown = false;
    const equals = word.indexOf('=');
    const name = equals > 0 ? word.slice(0, equals) : word;
    const switched = SWITCH_FLAGS.get(name);
    if (switched !== undefined) {
      if (name !== word) this.problems.push(`${name} takes no value`);
      this.values.set(switched[0], switched[1]);
    } else if (name === '--auto') {
      this.auto = true;
    } else if (['-u', '-o', '--underlay', '--overlay'].includes(name)) {
      const side = name.replace(/^-+/, '').startsWith('u') ? 'underlay' : 'overlay';
      const text = this.#valueOf(word, name);
      if (this.named.has(side)) this.problems.push(`${side} is given twice`);
      if (text !== undefined) this.named.set(side, text);
    } else if (VALUE_FLAGS.has(name)) {
      this.#assign(VALUE_FLAGS.get(name) ?? '', this.#valueOf(word, name));
    } else {
      const meant = didYouMean(name, [...FLAGS, ...this.#moreFlags]);
      this.problems.push(`${quote(word)} is not an option here; see fanway up --help${meant}`);
      this.#isAfterUnknown = name === word;
    }
  }

  /** Reads the two sides, once every word has its own. */
  readSides(): void {
    for (const [side, text] of this.named) {
      try {
        this.values.set(side, side === 'overlay' ? parseAnyOverlay(text) : parseUnderlays(text));
      } catch (error) {
        if (!(error instanceof ValueError)) throw error;
        this.problems.push(error.message);
      }
    }
  }
}

/**
 * Reads the words of one fan. All problems are returned at once, each a sentence.
 * With order `either` (a file line) flags beginning with `--` mean fanctl 0.12, which has the
 * underlay first; a line without any flag is read by which side is the shorter prefix.
 * @param moreFlags flags that the caller takes itself, for those who mistype them
 */
export function parseFanWords(
  words: readonly string[],
  order: WordOrder,
  moreFlags: readonly string[] = [],
): WordsResult {
  if (words.length > WORDS_MAX) {
    return { request: undefined, problems: [`more than ${WORDS_MAX} words for one fan`] };
  }
  const reader = new WordReader(words, moreFlags);
  reader.read();
  const { problems, named, values } = reader;
  // The value of an option that was mistyped is no fault of its own.
  const room = 2 - named.size;
  const isTooMany = reader.bare.length > room && reader.doubtful.size > 0;
  const bare = isTooMany ? reader.bare.filter((one) => !reader.doubtful.has(one)) : reader.bare;
  if (order === 'overlay-first' && named.size === 0 && underlayFirst(bare, 'either', false)) {
    problems.push(`the overlay comes first, then the underlay: ${bare[1]} ${bare[0]}`);
    return { request: undefined, problems };
  }
  const isLater = reader.hasFlags && !reader.hasBareWords;
  place(bare, named, underlayFirst(bare, order, isLater), problems);
  reader.readSides();
  if (problems.length > 0) return { request: undefined, problems };
  const result = requestOf(values);
  return {
    request: result.request === undefined ? undefined : { ...result.request, auto: reader.auto },
    problems: result.problems.map((problem) => problem.message),
  };
}

/** Gives each bare word its side; a wrong number of them is a problem. */
function place(
  bare: readonly string[],
  named: Map<Side, string>,
  isUnderlayFirst: boolean,
  problems: string[],
): void {
  const order = isUnderlayFirst
    ? (['underlay', 'overlay'] as const)
    : (['overlay', 'underlay'] as const);
  const free = order.filter((side) => !named.has(side));
  for (const [index, word] of bare.entries()) {
    const side = free[index];
    if (side === undefined) {
      const meant = didYouMean(word, [...SWITCH_WORDS, ...VALUE_WORDS]);
      problems.push(`${quote(word)} is one word too many${meant}`);
    } else named.set(side, word);
  }
  const missing = free.slice(bare.length);
  if (missing.length > 0) {
    const are = missing.length > 1 ? 'are' : 'is';
    problems.push(
      `the ${missing.join(' and the ')} of the fan ${are} missing: 250.0.0.0/8 eth0/16`,
    );
  }
}

/** Whether the first of two bare words of a file line is the underlay. */
function underlayFirst(bare: readonly string[], order: WordOrder, isLater: boolean): boolean {
  if (order === 'overlay-first' || bare.length !== 2) return false;
  const looksLikeNetwork = (word: string): boolean =>
    /^([0-9][0-9.]*|[0-9a-f]*:[0-9a-f:.]*)(\/|$)/i.test(word);
  const [first = '', second = ''] = bare;
  if (!looksLikeNetwork(first)) return true;
  if (!looksLikeNetwork(second)) return false;
  if (isLater) return true;
  // Only the underlay may be IPv6.
  if (first.includes(':') !== second.includes(':')) return first.includes(':');
  const length = (word: string): number => Number(word.split('/')[1] ?? Number.NaN);
  // A fan's overlay is never the longer prefix, so two lengths that differ tell the sides apart.
  return length(first) > length(second);
}
