/**
 * Where results lie: one folder a kept run, `bench/results/<date>/`, and the quick run's in
 * `bench/results/quick/`, which the next quick run replaces.
 * @module
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { distDirectory } from '../src/sys/host/paths.ts';
import { renderCharts, renderPage } from './render.ts';
import type { Results } from './results.ts';

const RESULT_FILE = 'results.json';
const PAGE_FILE = 'README.md';
const QUICK_FOLDER = 'quick';

/** The folder of all results: beside `dist/`. */
export function resultsDirectory(): string {
  return join(dirname(distDirectory()), 'bench', 'results');
}

/** The newest kept result in `directory`, or the last quick one; undefined when there is none. */
export function lastKept(directory: string, quick: boolean): Results | undefined {
  if (!existsSync(directory)) return undefined;
  const names = quick ? [QUICK_FOLDER] : readdirSync(directory).filter((name) => /^\d/.test(name));
  for (const name of names.sort().reverse()) {
    try {
      const parsed = JSON.parse(readFileSync(join(directory, name, RESULT_FILE), 'utf8'));
      if (parsed.format === 1) return parsed as Results;
    } catch {
      // Not a result, or a broken one: the one before it is asked.
    }
  }
  return undefined;
}

/**
 * Writes JSON, page and charts and returns the folder. Written aside and renamed into place, so
 * that a folder is whole or not there.
 */
export function keep(directory: string, results: Results, before: Results | undefined): string {
  const stamp = results.date.slice(0, 16).replace(':', '');
  const folder = join(directory, results.quick ? QUICK_FOLDER : stamp);
  const aside = `${folder}.new`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  writeFileSync(join(aside, RESULT_FILE), `${JSON.stringify(results, null, 1)}\n`);
  const charts = renderCharts(results);
  for (const [name, svg] of charts) writeFileSync(join(aside, name), svg);
  writeFileSync(join(aside, PAGE_FILE), renderPage(results, before, [...charts.keys()]));
  rmSync(folder, { recursive: true, force: true });
  renameSync(aside, folder);
  return folder;
}
