/**
 * The newest packages of others' tunnels that this release of Debian or a later one has, without installing
 * them: unpacked into a folder, and run from there with the libraries of their own suite.
 * @module
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/errors.ts';
import { debianOrigin, isNewer, Suite } from './peer-apt.ts';
import { findProgram } from './programs.ts';

/** Beside the release that this system has; whatever they are called by then. */
const LATER_RELEASES = ['stable', 'testing', 'unstable'];
/** Where Debian puts programs; those of openvswitch-switch are put in place by its scripts. */
const PROGRAM_FOLDERS = ['usr/sbin', 'usr/bin', 'sbin', 'bin', 'usr/lib/openvswitch-switch'];
const ARCHITECTURES: Readonly<Record<string, { triplet: string; loader: string }>> = {
  x64: { triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
};
/** What was found, for whoever comes later. */
const RECORD = 'packages.json';
const ELF_MAGIC = 0x7f454c46;
const PT_INTERP = 3;

/** What is to be found of a peer. */
export type Wanted = { package: string; programs: readonly string[] };

export type PackageFound = {
  version: string;
  /** The suite's codename; '' = installed here. */
  suite: string;
  /** Its files lie below it; '/' = installed here. */
  root: string;
};

/** As it is written beside what was unpacked. */
type Kept = {
  format: 1;
  found: Record<string, PackageFound>;
  /** Programs by name, with a path that runs them. */
  programs: Record<string, string>;
  /** Why a package could not be had. */
  missing: Record<string, string>;
  /** Why any other is not there. */
  other: string;
};

/** Which version of each package is there, where its programs are, and why others are not. */
export class PeerPackages {
  readonly #kept: Kept;

  constructor(kept: Kept) {
    this.#kept = kept;
  }

  /** What is there of a package. */
  of(name: string): PackageFound | undefined {
    return this.#kept.found[name];
  }

  /** A path that runs a program: one that was unpacked, else one that is installed. */
  program(name: string): string | undefined {
    return this.#kept.programs[name] ?? findProgram(name);
  }

  /** The path of a file that a package brings. */
  file(name: string, path: string): string {
    return join(this.of(name)?.root ?? '/', path);
  }

  whyMissing(name: string): string {
    return this.#kept.missing[name] ?? `${name}: ${this.#kept.other}`;
  }
}

/** What dpkg knows as installed here. */
export function installedPackages(names: readonly string[]): PeerPackages {
  const format = `-f=\${db:Status-Abbrev} \${Package} \${Version}\n`;
  const { stdout } = spawnSync('dpkg-query', ['-W', format, ...names], { encoding: 'utf8' });
  const rows = [...(stdout ?? '').matchAll(/^ii +(\S+) (\S+)$/gm)];
  const found = rows.map(([, name = '', version = '']): [string, PackageFound] => [
    name,
    { version, suite: '', root: '/' },
  ]);
  const other = 'this Debian package is not installed';
  return new PeerPackages({
    ...{ format: 1, programs: {}, missing: {}, other },
    found: Object.fromEntries(found),
  });
}

/** What an earlier {@link unpackPackages} left in a folder; undefined = nothing whole. */
export function keptPackages(folder: string): PeerPackages | undefined {
  try {
    const kept = JSON.parse(readFileSync(join(folder, RECORD), 'utf8')) as Kept;
    return kept.format === 1 ? new PeerPackages(kept) : undefined;
  } catch {
    return undefined;
  }
}

/** Where a copy of this process in namespaces of its own, which has no network, finds what was unpacked. */
const FOLDER_VARIABLE = 'FANWAY_BENCH_PACKAGES';

/**
 * The packages below `given`, downloaded unless an earlier run has done so; '' = below a temporary folder that
 * goes with this process. Undefined where none can be had, which is said.
 */
export function obtainPackages(
  wanted: readonly Wanted[],
  given: string,
  say: (line: string) => void,
): PeerPackages | undefined {
  const kept = given || process.env[FOLDER_VARIABLE];
  const folder = kept ?? mkdtempSync(join(tmpdir(), 'fanway-packages-'));
  const before = keptPackages(folder);
  if (before !== undefined) return before;
  if (kept === undefined) {
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  try {
    const packages = unpackPackages(wanted, folder, say);
    process.env[FOLDER_VARIABLE] = folder;
    return packages;
  } catch (error) {
    say(`${messageOf(error)}: only what is installed is measured`);
    return undefined;
  }
}

/**
 * Downloads and unpacks the newest of each below `folder`.
 * @param say takes a line about what happens
 * @throws Error where apt does not get at any suite
 */
export function unpackPackages(
  wanted: readonly Wanted[],
  folder: string,
  say: (line: string) => void,
): PeerPackages {
  const suites = openSuites(folder, say);
  const names = wanted.map((one) => one.package);
  const offers = suites.map((suite) => ({ suite, versions: suite.versions(names) }));
  const found: Kept['found'] = {};
  const missing: Kept['missing'] = {};
  for (const name of names) {
    const best = newest(name, offers);
    if (best === undefined) continue;
    const { suite, version } = best;
    say(`${name} ${version} of ${suite.codename}`);
    try {
      suite.download(name);
      found[name] = { version, suite: suite.codename, root: suite.root };
    } catch (error) {
      missing[name] = `${name} ${version} of ${suite.codename}: ${messageOf(error)}`;
    }
  }
  for (const suite of suites) suite.unpack();
  const programs = wanted.flatMap(({ package: name, programs }) => {
    const root = found[name]?.root;
    return root === undefined ? [] : programs.flatMap((one) => startable(root, one));
  });
  const looked = suites.map(({ codename }) => codename).join(', ');
  const other = `no such package in ${looked}`;
  const kept: Kept = {
    ...{ format: 1, found, missing, other },
    programs: Object.fromEntries(programs),
  };
  writeFileSync(join(folder, RECORD), `${JSON.stringify(kept, null, 1)}\n`);
  return new PeerPackages(kept);
}

function openSuites(folder: string, say: (line: string) => void): Suite[] {
  const origin = debianOrigin();
  const suites: Suite[] = [];
  let reason = '';
  for (const release of new Set([origin.release, ...LATER_RELEASES])) {
    say(`which packages Debian ${release} has`);
    try {
      const suite = new Suite(origin, release, join(folder, release));
      if (!suites.some(({ codename }) => codename === suite.codename)) suites.push(suite);
    } catch (error) {
      reason = messageOf(error);
      say(`Debian ${release} is left out: ${reason}`);
    }
  }
  if (suites.length === 0) throw new Error(`no suite of Debian can be read: ${reason}`);
  return suites;
}

type Offer = { suite: Suite; versions: ReadonlyMap<string, string> };

/** The newest, of the oldest suite that has it. */
function newest(name: string, offers: readonly Offer[]) {
  let best: { suite: Suite; version: string } | undefined;
  for (const { suite, versions } of offers) {
    const version = versions.get(name);
    if (version === undefined) continue;
    if (best === undefined || isNewer(version, best.version)) best = { suite, version };
  }
  return best;
}

/** Makes a program below `root` startable by a path of its own; nothing where it is not there. */
function startable(root: string, name: string): [[string, string]] | [] {
  const program = PROGRAM_FOLDERS.map((folder) => join(root, folder, name)).find(existsSync);
  if (program === undefined) return [];
  const folder = join(root, 'start');
  mkdirSync(folder, { recursive: true });
  const script = join(folder, name);
  writeFileSync(script, `#!/bin/sh\nexec ${commandOf(root, program)} "$@"\n`);
  chmodSync(script, 0o755);
  return [[name, script]];
}

/** The words that run a program with the loader and the libraries below `root`. */
function commandOf(root: string, program: string): string {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined || !isDynamic(program)) return quoted(program);
  const { triplet, loader } = architecture;
  const folders = ['lib64', 'usr/lib64', 'lib', 'usr/lib', `lib/${triplet}`, `usr/lib/${triplet}`];
  const libraries = folders.map((folder) => join(root, folder)).filter(existsSync);
  const found = libraries.map((folder) => join(folder, loader)).find(existsSync);
  if (found === undefined) return quoted(program);
  return `${quoted(found)} --library-path ${quoted(libraries.join(':'))} ${quoted(program)}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Whether a file is an ELF program (64 bits, little-endian) that asks for a loader. */
export function isDynamic(path: string): boolean {
  const head = Buffer.alloc(4096);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, head, 0, head.length, 0) < 64) return false;
  } finally {
    closeSync(file);
  }
  if (head.readUInt32BE(0) !== ELF_MAGIC) return false;
  const [offset, size, count] = [32, 54, 56].map((at, i) =>
    i === 0 ? Number(head.readBigUInt64LE(at)) : head.readUInt16LE(at),
  );
  for (let i = 0; i < (count ?? 0); i += 1) {
    const at = (offset ?? 0) + i * (size ?? 0);
    if (at + 4 > head.length) return false;
    if (head.readUInt32LE(at) === PT_INTERP) return true;
  }
  return false;
}
