/** Names of differentiated services code points. @module */

/** By code point: class selectors (RFC 2474), assured (2597) and expedited forwarding (3246), VA (5865), LE (8622). */
const NAMES: ReadonlyMap<number, string> = new Map([
  ...Array.from({ length: 8 }, (_, n): [number, string] => [n << 3, `CS${n}`]),
  ...[1, 2, 3, 4].flatMap((of) =>
    [1, 2, 3].map((drop): [number, string] => [(of << 3) | (drop << 1), `AF${of}${drop}`]),
  ),
  [1, 'LE'],
  [44, 'VA'],
  [46, 'EF'],
]);
const ECN_NAMES = ['Not-ECT', 'ECT(1)', 'ECT(0)', 'CE'] as const;

/** The name of a code point (0 to 63), its number where it has none. */
export function dscpName(dscp: number): string {
  return NAMES.get(dscp) ?? String(dscp);
}

/** The name of the two bits below the DSCP, RFC 3168. */
export function ecnName(tos: number): string {
  return ECN_NAMES[tos & 0b11] ?? 'Not-ECT';
}

/** Reads a name, in any case, or a number from 0 to 63. @throws RangeError that names what is known. */
export function parseDscp(word: string): number {
  const wanted = word.toUpperCase();
  for (const [dscp, name] of NAMES) if (name === wanted) return dscp;
  if (wanted === 'BE' || wanted === 'DF') return 0;
  const number = /^[0-9]{1,2}$/.test(word) ? Number(word) : 64;
  if (number < 64) return number;
  throw new RangeError(
    `${word} is no DSCP: a number from 0 to 63, or one of ${[...NAMES.values()].join(' ')}`,
  );
}
