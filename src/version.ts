/** The version of the package, as package.json has it. @module */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SINGLE } from './single-file.ts';

function read(): string {
  if (SINGLE !== undefined) return SINGLE.version;
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    try {
      const value: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      const { name, version } = value as { name?: unknown; version?: unknown };
      if (name === 'fanway' && typeof version === 'string') return version;
    } catch {
      // Not in this folder.
    }
    if (folder === dirname(folder)) return 'unknown';
  }
}

export const VERSION: string = read();
