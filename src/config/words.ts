/**
 * The words of a fan: `250.0.0.0/8 eth0/16 dhcp host-reserve 4` (fanctl 0.3.0) and
 * `-u eth0/16 -o 250.0.0.0/8 --dhcp --host-reserve=4` (fanctl 0.12), on the command line and in
 * /etc/network/fan. One reader for both, so that a line that works in one works in the other.
 * @module
 */
import { didYouMean } from './closest.ts';
import type { FanRequest } from './request.ts';
import { findSetting, parseAnyOverlay, parseUnderlay, parseValue } from './schema.ts';
import { quote, ValueError } from './setting.ts';
import { requestOf, type Values } from './settings.ts';

/** A line or command line longer than this is not meant seriously. */
export const WORDS_MAX = 64;

export type WordsResult = { request: FanRequest | undefined; problems: string[] };

/** fanctl's bare words that take no value. */
const SWITCH_WORDS = new Set(['dhcp', 'off', 'auto', 'debug']);
/** fanctl's bare words that take one. */
const VALUE_WORDS = new Set(['host-reserve', 'bridge']);

/** `--name` flags that stand for a setting and a value. */
const SWITCH_FLAGS = new Map<string, [key: string, value: boolean]>([
  ['--dhcp', ['dhcp', true]],
  ['--no-dhcp', ['dhcp', false]],
  ['--masquerade', ['masquerade', true]],
  ['--no-masquerade', ['masquerade', false]],
  ['--enable', ['enabled', true]],
  ['--disable', ['enabled', false]],
  ['--off', ['enabled', false]],
  ['--force', ['force', true]],
]);

/** The flags that {@link parseFanWords} takes with a value, by setting key. */
export const VALUE_FLAGS: readonly string[] = [
  'encap',
  'port',
  'vni',
  'compat',
  'mtu',
  'host-reserve',
  'bridge',
  'device',
  'offload',
  'dscp',
  'source-port',
  'rate',
  'flow-keys',
  'datapath',
];

/** All flags that {@link parseFanWords} knows. */
const FLAGS: readonly string[] = [
  ...SWITCH_FLAGS.keys(),
  ...VALUE_FLAGS.map((key) => `--${key}`),
  ...['--auto', '--underlay', '--overlay'],
];

/** Which of two bare words comes first when nothing else tells. */
export type WordOrder = 'overlay-first' | 'either';

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
  const problems: string[] = [];
  const values: Values = new Map();
  const bare: string[] = [];
  const named = new Map<'overlay' | 'underlay', string>();
  let auto = false;
  let flags = false;
  let bareWords = false;

  if (words.length > WORDS_MAX) {
    return { request: undefined, problems: [`more than ${WORDS_MAX} words for one fan`] };
  }

  function assign(key: string, text: string): void {
    const setting = findSetting('fan', key);
    if (setting === undefined) return;
    if (values.has(key)) problems.push(`${key} is given twice`);
    try {
      values.set(key, parseValue(setting, text));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push(error.message);
    }
  }

  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    const equals = word.indexOf('=');
    const name = word.startsWith('-') && equals > 0 ? word.slice(0, equals) : word;

    /** The value after `=`, or the next word. */
    const value = (): string | undefined => {
      if (name !== word) return word.slice(equals + 1);
      index++;
      const next = words[index];
      if (next === undefined) problems.push(`${name} needs a value after it`);
      return next;
    };

    if (!word.startsWith('-')) {
      if (SWITCH_WORDS.has(word)) {
        bareWords = true;
        if (word === 'dhcp') values.set('dhcp', true);
        else if (word === 'off') values.set('enabled', false);
        else if (word === 'auto') auto = true;
        else problems.push('debug is not a word here: `fanway plan` shows what would be done');
      } else if (VALUE_WORDS.has(word)) {
        bareWords = true;
        const text = value();
        if (text !== undefined) assign(word, text);
      } else {
        bare.push(word);
      }
      continue;
    }
    flags = true;
    const switched = SWITCH_FLAGS.get(name);
    if (switched !== undefined) {
      if (name !== word) problems.push(`${name} takes no value`);
      values.set(switched[0], switched[1]);
    } else if (name === '--auto') {
      auto = true;
    } else if (['-u', '-o', '--underlay', '--overlay'].includes(name)) {
      const side = name.replace(/^-+/, '').startsWith('u') ? 'underlay' : 'overlay';
      const text = value();
      if (named.has(side)) problems.push(`${side} is given twice`);
      if (text !== undefined) named.set(side, text);
    } else if (name.startsWith('--') && VALUE_FLAGS.includes(name.slice(2))) {
      const text = value();
      if (text !== undefined) assign(name.slice(2), text);
    } else {
      const meant = didYouMean(name, [...FLAGS, ...moreFlags]);
      problems.push(`${quote(word)} is not an option here; see fanway up --help${meant}`);
    }
  }

  if (order === 'overlay-first' && named.size === 0 && underlayFirst(bare, 'either', false)) {
    problems.push(`the overlay comes first, then the underlay: ${bare[1]} ${bare[0]}`);
    return { request: undefined, problems };
  }
  place(bare, named, underlayFirst(bare, order, flags && !bareWords), problems);
  for (const [side, text] of named) {
    try {
      values.set(side, side === 'overlay' ? parseAnyOverlay(text) : parseUnderlay(text));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length > 0) return { request: undefined, problems };
  const result = requestOf(values);
  return {
    request: result.request === undefined ? undefined : { ...result.request, auto },
    problems: result.problems.map((problem) => problem.message),
  };
}

/** Gives each bare word its side; a wrong number of them is a problem. */
function place(
  bare: readonly string[],
  named: Map<'overlay' | 'underlay', string>,
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
