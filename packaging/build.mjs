// Builds dist/ (and, with --tests, .build/test/) from TypeScript with esbuild.
// `npm ci` runs it through the `prepare` script, so a fresh clone is ready to use.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

/** Every file below `dir` whose name ends in `suffix`, as paths relative to the root. */
function filesBelow(dir, suffix) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)));
}

const common = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
};

mkdirSync('dist', { recursive: true });
execFileSync(
  process.execPath,
  [
    'node_modules/assemblyscript/bin/asc.js',
    'src/dataplane/wasm/checksum.ts',
    '--outFile',
    'dist/checksum.wasm',
    '--runtime',
    'stub',
    '--importMemory',
    '--noExportMemory',
    '--enable',
    'simd',
    '-O3',
  ],
  { stdio: 'inherit' },
);
await build({
  ...common,
  entryPoints: {
    fanway: 'src/main.ts',
    dataplane: 'src/dataplane/main.ts',
    ...(existsSync('bench/main.ts') ? { bench: 'bench/main.ts' } : {}),
  },
  outdir: 'dist',
});
chmodSync('dist/fanway.js', 0o755);

if (process.argv.includes('--tests')) {
  rmSync('.build/test', { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: filesBelow('test', '.ts'),
    outbase: 'test',
    outdir: '.build/test',
  });
}
