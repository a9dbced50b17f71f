/**
 * AS_PATH, and how a path of four-octet AS numbers passes through speakers that know only two
 * (RFC 6793).
 * @module
 */
import type { ByteReader, Writer } from './bytes.ts';
import { Malformed } from './faults.ts';
import { AS_TRANS, SegmentType } from './iana.ts';

/** AS numbers in one segment: its count is a byte. */
export const SEGMENT_AS_MAX = 255;
/** Largest AS number of two octets. */
export const AS2_MAX = 0xffff;

/** `type` is one of {@link SegmentType}. */
export type AsSegment = { readonly type: number; readonly numbers: readonly number[] };

/**
 * Reads segments until the window ends; AS numbers have four octets if `as4`.
 * @throws Malformed RFC 7606 §7.2: an unknown segment type, an empty segment, or one that overruns.
 */
export function readAsPath(reader: ByteReader, as4: boolean): AsSegment[] {
  const segments: AsSegment[] = [];
  while (reader.left > 0) {
    const type = reader.u8();
    // Confederation segments come from members of a confederation only (RFC 5065 §5), and we are none.
    if (type !== SegmentType.Set && type !== SegmentType.Sequence) {
      throw new Malformed(`an AS_PATH segment of type ${type}`);
    }
    const count = reader.u8();
    if (count === 0) throw new Malformed('an AS_PATH segment without an AS');
    const numbers: number[] = [];
    for (let index = 0; index < count; index++) numbers.push(as4 ? reader.u32() : reader.u16());
    segments.push({ type, numbers });
  }
  return segments;
}

export function writeAsPath(writer: Writer, path: readonly AsSegment[], as4: boolean): void {
  for (const { type, numbers } of path) {
    writer.u8(type).u8(numbers.length);
    for (const number of numbers) {
      if (as4) writer.u32(number);
      else writer.u16(number > AS2_MAX ? AS_TRANS : number);
    }
  }
}

/** How long a path counts: a set is one step (RFC 4271 §9.1.2.2). */
export function asPathLength(path: readonly AsSegment[]): number {
  let length = 0;
  for (const { type, numbers } of path) length += type === SegmentType.Set ? 1 : numbers.length;
  return length;
}

/** The path with `as` before it (RFC 4271 §5.1.2). */
export function prependAs(path: readonly AsSegment[], as: number): AsSegment[] {
  const [first, ...rest] = path;
  if (first?.type === SegmentType.Sequence && first.numbers.length < SEGMENT_AS_MAX) {
    return [{ type: SegmentType.Sequence, numbers: [as, ...first.numbers] }, ...rest];
  }
  return [{ type: SegmentType.Sequence, numbers: [as] }, ...path];
}

/**
 * The true path from AS_PATH and AS4_PATH of a speaker of two octets (RFC 6793 §4.2.3): AS4_PATH
 * replaces the tail, unless it is longer, when it is ignored.
 */
export function mergeAsPaths(path: readonly AsSegment[], path4: readonly AsSegment[]): AsSegment[] {
  let keep = asPathLength(path) - asPathLength(path4);
  if (keep < 0) return [...path];
  const head: AsSegment[] = [];
  for (const segment of path) {
    if (keep <= 0) break;
    if (segment.type === SegmentType.Set) {
      head.push(segment);
      keep--;
      continue;
    }
    const numbers = segment.numbers.slice(0, keep);
    keep -= numbers.length;
    head.push({ type: segment.type, numbers });
  }
  const [next, ...rest] = path4;
  const last = head.at(-1);
  // One sequence that was cut in two becomes one again.
  if (
    next?.type === SegmentType.Sequence &&
    last?.type === SegmentType.Sequence &&
    last.numbers.length + next.numbers.length <= SEGMENT_AS_MAX
  ) {
    head[head.length - 1] = { type: next.type, numbers: [...last.numbers, ...next.numbers] };
    return [...head, ...rest];
  }
  return [...head, ...path4];
}
