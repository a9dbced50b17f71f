/**
 * README and docs/ as the tests read them: sections, tables, words between backticks, fenced blocks.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findRoot } from '../style/sources.ts';

export const root = findRoot();
export const skip = root === '' && 'the documents are not beside the tests';

export function read(name: string): string {
  return root === '' ? '' : readFileSync(join(root, name), 'utf8');
}

/** README.md and every document below docs/, as paths from the root. */
export const DOCUMENTS: readonly string[] =
  root === ''
    ? []
    : [
        'README.md',
        ...readdirSync(join(root, 'docs'))
          .filter((name) => name.endsWith('.md'))
          .map((name) => `docs/${name}`)
          .sort(),
      ];

/** The text under a heading of one document, up to the next heading of its level or a higher one. */
export function section(document: string, title: string): string {
  const lines = read(document).split('\n');
  const start = lines.findIndex((line) => line.replace(/^#+ /, '') === title && /^#/.test(line));
  if (start < 0) return '';
  const level = /^#+/.exec(lines[start] ?? '')?.[0].length ?? 0;
  let end = start + 1;
  let inCode = false;
  for (; end < lines.length; end++) {
    const line = lines[end] ?? '';
    if (line.startsWith('```')) inCode = !inCode;
    const heading = inCode ? undefined : /^(#+) /.exec(line)?.[1];
    if (heading !== undefined && heading.length <= level) break;
  }
  return lines.slice(start + 1, end).join('\n');
}

/** What stands between backticks outside of blocks. */
export function quoted(text: string): string[] {
  return [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1] ?? '',
  );
}

/** Backticked words in one column (from 0) of the tables of a text. */
export function inColumn(text: string, column: number): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => quoted(line.split('|')[column + 1] ?? ''));
}

/** Fenced blocks with the language that stands after the fence, '' for none. */
export function blocks(text: string): { language: string; lines: string[] }[] {
  return [...text.matchAll(/^```([a-z]*)\n([\s\S]*?)^```/gm)].map(
    ([, language = '', body = '']) => ({
      language,
      lines: body.split('\n').slice(0, -1),
    }),
  );
}
