/**
 * What goes on while something takes its time, on standard error.
 * @module
 */
import type { Io } from './verb.ts';

export type Progress = { step(text: string): void; end(): void };

/** What a terminal that does not tell its size has at least. */
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;
/** From where the cursor is to the end of the screen. */
const CLEAR = '\x1b[J';

/** How many characters and lines of text a terminal has room for. */
type Room = { columns: number; rows: number };

/** A text that fits: whatever wraps or scrolls away could not be written over. */
export function fitted(text: string, { columns, rows }: Room): string[] {
  return text
    .split('\n')
    .slice(0, Math.max(1, rows - 1))
    .map((line) => [...line].slice(0, Math.max(1, columns - 1)).join(''));
}

/** Some lines that are written over on a terminal; each as it comes elsewhere. */
export function progressTo(io: Io): Progress {
  const { stderr } = process;
  if (stderr.isTTY !== true) return { step: (text) => io.err(`${text}\n`), end: () => {} };
  let above = 0;
  const clear = () => {
    const up = above === 0 ? '' : `\x1b[${above}A`;
    above = 0;
    return `\r${up}${CLEAR}`;
  };
  return {
    step: (text) => {
      const lines = fitted(text, {
        columns: stderr.columns || COLUMNS_DEFAULT,
        rows: stderr.rows || ROWS_DEFAULT,
      });
      const cleared = clear();
      above = lines.length - 1;
      io.err(`${cleared}${lines.join('\n')}`);
    },
    end: () => io.err(clear()),
  };
}
