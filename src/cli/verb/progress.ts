/**
 * What goes on while something takes its time, on standard error.
 * @module
 */
import type { Io } from './verb.ts';

export type Progress = { step(text: string): void; end(): void };

/** One line that is written over on a terminal; a line each elsewhere. */
export function progressTo(io: Io): Progress {
  const terminal = process.stderr.isTTY === true;
  return {
    step: (text) => io.err(terminal ? `\r\x1b[K${text}` : `${text}\n`),
    end: () => {
      if (terminal) io.err('\r\x1b[K');
    },
  };
}
