/**
 * Reads the source tree for the style gate.
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One source file, its lines and what it imports. */
export type Source = {
  /** Relative to the root, `/` between parts. */
  readonly path: string;
  readonly text: string;
  /** First folder below `src`, or '' for a file in `src` itself. */
  readonly room: string;
  readonly imports: readonly string[];
};

/** The checkout: where tap runs, or above the bundled test; '' when the sources are not there. */
export function findRoot(): string {
  for (const start of [process.cwd(), dirname(fileURLToPath(import.meta.url))]) {
    for (let folder = start; ; folder = dirname(folder)) {
      if (existsSync(join(folder, 'biome.json')) && existsSync(join(folder, 'src'))) return folder;
      if (folder === dirname(folder)) break;
    }
  }
  return '';
}

/** Every specifier of an import, export-from or dynamic import in TypeScript text. */
export function importsOf(text: string): string[] {
  const statement =
    /^\s*(?:import|export)\b[^'";]*?from\s*'([^']+)'|^\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm;
  return [...text.matchAll(statement)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

/** Text without its comments; what looks like one in a text stays. */
export function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, '');
}

/** All TypeScript files below `folder` of the checkout; the AssemblyScript kernel is not one. */
export function readSources(root: string, folder: string): Source[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((path) => !path.startsWith('src/dataplane/wasm/'))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      const parts = path.split('/');
      return {
        path,
        text,
        room: parts.length > 2 ? (parts[1] ?? '') : '',
        imports: importsOf(text),
      };
    });
}
