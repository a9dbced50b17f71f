/** What is told of a command that failed in a guest. @module */

/** The message: what a test file in the guest found wrong comes first, since reports cut what is long. */
export function failureIn(output: string, what: string): string {
  const wrong = [...output.matchAll(/^ *not ok .*$/gm)].map(([line]) => line.trim());
  return `${[...wrong.slice(0, 3), what].join('; ')}\n${output}`;
}
