// fanway with all its packages in it, for where no node_modules will be: the Debian package and the
// single file. `dist/` leaves them to npm.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const PROGRAMS = {
  fanway: 'src/main.ts',
  dataplane: 'src/dataplane/main.ts',
  traffic: 'src/traffic/main.ts',
  'fanway-cni': 'src/plugins/program/main.ts',
};

/** What lies beside the programs in dist/ and is read by them (builtFile() in sys/host/paths.ts). */
export const FILES = ['packet.wasm', 'web.html'];

/** Packages that are asked for as CommonJS, by the source that does: here they are bundled. */
const REQUIRED = [
  [/sys\/netlink\/raw\.ts$/, 'netlink'],
  [/wire\/cbor\.ts$/, 'cbor-x/index-no-eval'],
];

/** Both native packages look for their binary below node_modules; here they are told where it is. */
function nativePlugin(load) {
  return {
    name: 'native',
    setup(build) {
      build.onResolve({ filter: /^(koffi|node-gyp-build)$/ }, ({ path }) => ({
        path,
        namespace: 'native',
      }));
      build.onLoad({ filter: /.*/, namespace: 'native' }, ({ path }) => ({
        contents:
          path === 'koffi'
            ? `export default ${load('koffi')};`
            : `module.exports = () => ${load('netlink')};`,
        resolveDir: root,
      }));
      for (const [filter, name] of REQUIRED) {
        build.onLoad({ filter }, ({ path }) => {
          const text = readFileSync(path, 'utf8');
          const asked = `createRequire(import.meta.url)('${name}')`;
          if (!text.includes(asked)) throw new Error(`${path}: no ${asked}`);
          return { contents: text.replace(asked, `require('${name}')`), loader: 'ts' };
        });
      }
    },
  };
}

/**
 * Bundles the four programs into `out` and puts what they read beside them.
 * @param options.single as CommonJS, binaries by way of the loader (src/single); else as modules
 *   that load `koffi.node` and `netlink.node` from their own folder
 */
export async function bundle({ out, single }) {
  mkdirSync(out, { recursive: true });
  const shared = {
    bundle: true,
    platform: 'node',
    target: 'node20',
    absWorkingDir: root,
    outdir: out,
    logLevel: 'warning',
    legalComments: 'none',
    // Only asked for the folder of the binary, which nativePlugin() settles.
    define: { __dirname: '""' },
  };
  if (single) {
    await build({
      ...shared,
      entryPoints: PROGRAMS,
      format: 'cjs',
      outExtension: { '.js': '.cjs' },
      define: { ...shared.define, 'import.meta.url': '__fanwaySingle.url' },
      plugins: [nativePlugin((name) => `__fanwaySingle.addon('${name}')`)],
    });
    await build({
      ...shared,
      entryPoints: { single: 'src/single/main.ts' },
      define: { FANWAY_VERSION: JSON.stringify(manifest().version) },
      format: 'cjs',
      outExtension: { '.js': '.cjs' },
    });
  } else {
    await build({
      ...shared,
      entryPoints: PROGRAMS,
      format: 'esm',
      external: ['*.node'],
      // What came as CommonJS asks for Node's own modules by `require`.
      banner: {
        js: "import { createRequire as fanwayRequire } from 'node:module';\nconst require = fanwayRequire(import.meta.url);",
      },
      plugins: [nativePlugin((name) => `require('./${name}.node')`)],
    });
  }
  for (const name of FILES) copyFileSync(join(root, 'dist', name), join(out, name));
}

/** The binaries of both native packages for `x64` or `arm64` with glibc, by name. */
export function nativeFiles(arch) {
  return {
    koffi: join(packageFolder(`@koromix/koffi-linux-${arch}`), `linux_${arch}`, 'koffi.node'),
    netlink: join(root, 'node_modules/netlink/prebuilds', `linux-${arch}`, 'node.napi.node'),
  };
}

/**
 * A folder with a package that the lock file names: as npm installed it, or, for another machine than
 * this, fetched and checked against the lock file.
 */
function packageFolder(name) {
  const installed = join(root, 'node_modules', name);
  if (existsSync(installed)) return installed;
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const locked = lock.packages[`node_modules/${name}`];
  if (locked?.integrity === undefined) throw new Error(`${name} is not in package-lock.json`);
  return fetchPackage(name, locked.version, locked.integrity);
}

/**
 * Fetches a package with npm and unpacks it below .build; once.
 * @param integrity what its archive must hash to (`sha512-…`); undefined: as npm itself checks
 */
export function fetchPackage(name, version, integrity) {
  const folder = join(root, '.build/fetched', `${name.replaceAll(/[@/]/g, '_')}-${version}`);
  if (existsSync(join(folder, 'package.json'))) return folder;
  const scratch = mkdtempSync(join(tmpdir(), 'fanway-fetch-'));
  try {
    execFileSync('npm', ['pack', `${name}@${version}`, '--silent', '--pack-destination', scratch], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const archive = join(scratch, readdirSync(scratch)[0] ?? '');
    const hash = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (integrity !== undefined && hash !== integrity) {
      throw new Error(`${name}@${version} is not what package-lock.json names: ${hash}`);
    }
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    execFileSync('tar', ['-xzf', archive, '-C', folder, '--strip-components=1']);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return folder;
}

/** Name, version and the rest of package.json. */
export function manifest() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
}

/** `--name value` and `--name` among the words of the command line. */
export function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : undefined;
}
