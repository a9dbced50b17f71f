/**
 * What runs first in the single file, which carries Node, the four programs, their native packages
 * and `packet.wasm`: https://nodejs.org/api/single-executable-applications.html
 *
 * Installed, fanway starts `node FLAGS dataplane.js`; here it starts itself with a first word that names
 * the program, and V8's flags behind it, up to `--` (see programCommand() in sys/host/paths.ts). Each
 * program is compiled as the file that it would be, so its code is what runs elsewhere, and nothing of
 * the others is compiled with it.
 * @module
 */
import { createRequire } from 'node:module';
import { getAsset, getRawAsset } from 'node:sea';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { compileFunction } from 'node:vm';
import { type SingleFile, singleWord } from '../single-file.ts';
import { loadAddon } from './addon.ts';

/** Put in by the build. */
declare const FANWAY_VERSION: string;

const PROGRAMS = ['fanway', 'dataplane', 'traffic', 'fanway-cni'];
/** What the programs find around them besides Node's globals (see single-file.ts). */
const PARAMETERS = ['require', 'module', 'exports', '__fanwaySingle'];

/** Takes the words that are ours out of the command line, and says which program they ask for. */
function chooseProgram(argv: string[]): string {
  const name = PROGRAMS.find((program) => argv[2] === singleWord(program));
  if (name === undefined) return 'fanway';
  const end = argv.indexOf('--', 3);
  for (const flag of argv.slice(3, end)) setFlagsFromString(flag);
  argv.splice(2, end - 1);
  return name;
}

function file(name: string): Uint8Array {
  const asset: unknown = getRawAsset(name);
  if (!(asset instanceof ArrayBuffer)) throw new TypeError(`${name} is no file`);
  return new Uint8Array(asset);
}

const single: SingleFile = {
  url: pathToFileURL(process.execPath).href,
  version: FANWAY_VERSION,
  file,
  addon: (name) => loadAddon(name, file(`${name}.node`)),
};
const name = chooseProgram(process.argv);
const run = compileFunction(getAsset(`${name}.cjs`, 'utf8'), PARAMETERS, {
  filename: `${name}.cjs`,
});
const module = { exports: {} };
run(createRequire(process.execPath), module, module.exports, single);
