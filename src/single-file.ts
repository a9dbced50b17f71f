/**
 * What the single file brings instead of files around it: see single/main.ts, which hands this to the
 * programs that it runs.
 * @module
 */

export type SingleFile = {
  /** A made-up address of the program, for what asks for `import.meta.url`. */
  readonly url: string;
  readonly version: string;
  /** A file that would lie beside the programs, by its name. @throws Error when there is none. */
  file(name: string): Uint8Array;
  /** Loads a native package. @throws Error when no file system lets one be loaded. */
  addon(name: string): unknown;
};

declare const __fanwaySingle: SingleFile | undefined;

/** Undefined where fanway is installed as files. */
export const SINGLE: SingleFile | undefined =
  typeof __fanwaySingle === 'undefined' ? undefined : __fanwaySingle;

/** The first word that makes the single file one of its other programs. */
export function singleWord(program: string): string {
  return `__${program}`;
}
