/**
 * Where the built files lie, and how our programs start one another. Installed, each program is a file
 * that Node runs; in the single file they are all one. Nobody else may guess the place or the words.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SINGLE, singleWord } from '../../single-file.ts';

/**
 * The folder that holds the built programs (`fanway.js`, `dataplane.js`, `packet.wasm`).
 * Found by walking up from the running module, so it works from `dist/` itself, from bundled
 * tests and from an installed package alike.
 * @throws Error when nothing was built yet.
 */
export function distDirectory(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'dataplane.js')) && existsSync(join(folder, 'packet.wasm'))) {
      return folder;
    }
    if (existsSync(join(folder, 'dist', 'dataplane.js'))) return join(folder, 'dist');
    if (folder === dirname(folder)) {
      throw new Error('dist/dataplane.js is not there: run `npm run build` first');
    }
  }
}

/** Our programs by name. */
export type Program = 'fanway' | 'dataplane' | 'traffic' | 'fanway-cni';

/**
 * The command and first words that start one of our programs; what it is to do comes behind them.
 * @param v8Flags for V8 alone; those that size the heap do nothing in the single file, which is asked
 *   once its heap is there
 * @param dist the folder of another build
 */
export function programCommand(
  program: Program,
  v8Flags: readonly string[] = [],
  dist?: string,
): [command: string, ...words: string[]] {
  if (SINGLE !== undefined && dist === undefined) {
    return [process.execPath, singleWord(program), ...v8Flags, '--'];
  }
  return [process.execPath, ...v8Flags, join(dist ?? distDirectory(), `${program}.js`)];
}

/** The command that runs now, with all its words, to be run again elsewhere. */
export function ownCommand(): [command: string, ...words: string[]] {
  // The single file finds its own path twice at the head of its words, and no program behind it.
  const words = process.argv.slice(SINGLE === undefined ? 1 : 2);
  return [process.execPath, ...process.execArgv, ...words];
}

/** The bytes of a file that the build puts beside the programs. @throws Error when it is not there. */
export function builtFile(name: string): Uint8Array {
  return SINGLE?.file(name) ?? readFileSync(join(distDirectory(), name));
}
