// One file that needs no Node: `npm run single`.
//
//   npm run single                      for this machine, with the Node that runs this
//   npm run single -- --node PATH       with another Node of this machine
//   npm run single -- --arch arm64      for another machine, with Node of this version from npm
//   npm run single -- --out FILE        to FILE; .build/single/fanway-VERSION-linux-ARCH unless given
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import {
  bundle,
  FILES,
  fetchPackage,
  manifest,
  nativeFiles,
  option,
  PROGRAMS,
  root,
} from './bundle.mjs';
import { addNote, machineOf, setFuse } from './elf.mjs';
import { noticesOf } from './notices.mjs';

/** The note that Node looks for. */
const NOTE = 'NODE_SEA_BLOB';

const arch = option('arch') ?? process.arch;
const local = resolve(option('node') ?? process.execPath);
// The blob must be made by the version of Node that will read it; it holds nothing of the machine.
const maker = local;
const version = execFileSync(maker, ['--version'], { encoding: 'utf8' }).trim().slice(1);
const carrier =
  arch === process.arch ? local : join(fetchPackage(`node-linux-${arch}`, version), 'bin/node');
const out = resolve(
  option('out') ?? join(root, '.build/single', `fanway-${manifest().version}-linux-${arch}`),
);

/** Node's own licence, which lies beside it in every form it is handed out in. */
function nodeLicence(binary) {
  const places = [
    join(dirname(dirname(binary)), 'LICENSE'),
    join(dirname(dirname(dirname(binary))), `node-linux-${arch}/LICENSE`),
    join(dirname(dirname(binary)), 'share/doc/nodejs/copyright'),
  ];
  const found = places.find((place) => existsSync(place));
  return found === undefined
    ? 'Its licence: https://github.com/nodejs/node/blob/main/LICENSE'
    : readFileSync(found, 'utf8');
}

const scratch = mkdtempSync(join(tmpdir(), 'fanway-single-'));
try {
  await bundle({ out: scratch, single: true });
  const natives = nativeFiles(arch);
  const config = {
    main: join(scratch, 'single.cjs'),
    output: join(scratch, 'blob'),
    disableExperimentalSEAWarning: true,
    assets: {
      ...Object.fromEntries(
        Object.keys(PROGRAMS).map((name) => [`${name}.cjs`, join(scratch, `${name}.cjs`)]),
      ),
      ...Object.fromEntries(FILES.map((name) => [name, join(scratch, name)])),
      'koffi.node': natives.koffi,
      'netlink.node': natives.netlink,
    },
  };
  writeFileSync(join(scratch, 'config.json'), JSON.stringify(config));
  execFileSync(maker, ['--experimental-sea-config', join(scratch, 'config.json')], {
    // What it says of its success goes to standard error; a failure shows it.
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const node = readFileSync(carrier);
  if (machineOf(node) !== arch)
    throw new Error(`${carrier} is for ${machineOf(node)}, not ${arch}`);
  try {
    setFuse(node);
  } catch (error) {
    const hint = `take one of npm's: npm install --prefix DIR node@${version.split('.')[0]}, and --node DIR/node_modules/node/bin/node`;
    throw new Error(`${carrier}: ${error.message}; ${hint}`);
  }
  mkdirSync(dirname(out), { recursive: true });
  rmSync(out, { force: true });
  writeFileSync(out, addNote(node, NOTE, readFileSync(config.output)));
  chmodSync(out, 0o755);
  writeFileSync(`${out}.LICENSES`, noticesOf(nodeLicence(carrier)));
  process.stdout.write(`${out}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
