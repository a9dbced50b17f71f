/**
 * What somebody may have meant who mistyped a word.
 * @module
 */

/** A word longer than this is no slip of the fingers. */
const WORD_CHARS_MAX = 24;

/**
 * How many slips lie between two words: a letter too many, too few, another, or two neighbours
 * swapped (the restricted Damerau-Levenshtein distance).
 */
export function slips(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const other = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + other);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      }
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The word of `known` that is nearest to `word`, undefined when none is near. */
export function closest(word: string, known: readonly string[]): string | undefined {
  if (word.length > WORD_CHARS_MAX) return undefined;
  const letters = word.replace(/^-+/, '').length;
  const most = letters <= 2 ? 0 : letters <= 5 ? 1 : 2;
  const inOrder = (text: string): string => [...text].sort().join('');
  const own = inOrder(word.toLowerCase());
  const [best] = known
    .map((one) => ({ one, distance: slips(word.toLowerCase(), one) }))
    // All letters there and two of them in each other's place is one slip to whoever types.
    .filter(({ one, distance }) => distance <= most || (distance === 2 && inOrder(one) === own))
    .sort((a, b) => a.distance - b.distance);
  return best?.one;
}

/** `; did you mean dhcp?` for the end of a sentence, '' when nothing is near. */
export function didYouMean(word: string, known: readonly string[]): string {
  const found = closest(word, known);
  return found === undefined ? '' : `; did you mean ${found}?`;
}
