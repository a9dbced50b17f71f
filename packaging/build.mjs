// Builds dist/ (and, with --tests, .build/test/) from TypeScript with esbuild.
// --out DIR puts both below DIR instead of the checkout, so that builds do not disturb each other.
// `npm ci` runs it through the `prepare` script, so a fresh clone is ready to use.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const outFlag = process.argv.indexOf('--out');
const out = outFlag > 0 ? resolve(process.argv[outFlag + 1] ?? root) : root;
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

mkdirSync(join(out, 'dist'), { recursive: true });
if (out !== root && !existsSync(join(out, 'node_modules'))) {
  symlinkSync(join(root, 'node_modules'), join(out, 'node_modules'));
}
// The programs read their version there, and Node what kind of files they are.
if (out !== root) copyFileSync('package.json', join(out, 'package.json'));
execFileSync(
  process.execPath,
  [
    'node_modules/assemblyscript/bin/asc.js',
    'src/dataplane/wasm/packet.ts',
    '--outFile',
    join(out, 'dist/packet.wasm'),
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
    traffic: 'src/traffic/main.ts',
    'fanway-cni': 'src/plugins/program/main.ts',
    ...(existsSync('bench/main.ts')
      ? { bench: 'bench/main.ts', micro: 'bench/micro/main.ts' }
      : {}),
    ...(existsSync('test/sim/main.ts') ? { sim: 'test/sim/main.ts' } : {}),
  },
  outdir: join(out, 'dist'),
});
// esbuild leaves comments of classes as they are, and escapes what is not ASCII everywhere else. One character
// beyond Latin-1 in a program has V8 keep all of its text at two bytes a character.
for (const name of readdirSync(join(out, 'dist'))) {
  if (!name.endsWith('.js')) continue;
  const path = join(out, 'dist', name);
  const text = readFileSync(path, 'utf8');
  const ascii = text.replace(/[^\0-\x7f]/g, '?');
  if (ascii !== text) writeFileSync(path, ascii);
}
// The page of `fanway web`: one file with its script and its style in it.
const page = await build({
  entryPoints: ['src/web/main.ts'],
  bundle: true,
  platform: 'browser',
  format: 'iife',
  target: 'es2022',
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
  write: false,
});
const style = await build({
  entryPoints: ['src/web/page.css'],
  minify: true,
  logLevel: 'warning',
  write: false,
});
const script = page.outputFiles[0].text.trim();
if (script.includes('</script')) throw new Error('the page would end in the middle of its script');
writeFileSync(
  join(out, 'dist/web.html'),
  readFileSync('src/web/page.html', 'utf8')
    .replace('/*page.css*/', () => style.outputFiles[0].text.trim())
    .replace('/*main.js*/', () => script),
);
chmodSync(join(out, 'dist/fanway.js'), 0o755);
// Manual pages from the verb table; `npm install -g` puts those that package.json
// names where man looks.
execFileSync(
  process.execPath,
  [join(out, 'dist/fanway.js'), 'man', '--out', join(out, 'dist/man')],
  {
    stdio: 'inherit',
  },
);

/**
 * tap as one file, in the place where tests of `.build/test` find it first: reading its three hundred files takes as
 * long as most tests. The name of its folder keeps its own lines out of the stacks that it shows.
 */
async function gatherTap() {
  const folder = join(out, '.build/node_modules');
  rmSync(folder, { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: { index: 'node_modules/tap/dist/esm/index.js' },
    packages: 'bundle',
    sourcemap: false,
    outdir: join(folder, '@tapjs/whole'),
    banner: {
      js: "import { createRequire as ours } from 'node:module'; const require = ours(import.meta.url);",
    },
  });
  const write = (name, value) => writeFileSync(join(folder, name), value);
  write('@tapjs/whole/package.json', '{ "type": "module", "exports": "./index.js" }\n');
  mkdirSync(join(folder, 'tap'));
  write('tap/package.json', '{ "type": "module", "exports": "./index.js" }\n');
  write('tap/index.js', "export * from '@tapjs/whole';\nexport { default } from '@tapjs/whole';\n");
}

if (process.argv.includes('--tests')) {
  rmSync(join(out, '.build/test'), { recursive: true, force: true });
  await gatherTap();
  await build({
    ...common,
    entryPoints: filesBelow('test', '.ts'),
    outbase: 'test',
    outdir: join(out, '.build/test'),
  });
}
