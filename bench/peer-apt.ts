/**
 * apt with a state, a cache and a configuration of its own below a folder: it reads the system's sources
 * and proxies, and writes nothing of the system's. Nothing is installed and no package's script runs:
 * packages are downloaded and unpacked.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const UPDATE_MS_MAX = 300_000;
const DOWNLOAD_MS_MAX = 600_000;
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Of the system's configuration, how it gets at the network and what it thinks of clocks. */
const TAKEN_OVER = /^Acquire::(https?|ForceIPv|Check-|Retries)/;

/** Where this system gets Debian's packages from. */
export type Origin = { uri: string; release: string };

/** Runs a program in the C locale; @throws Error with its last words */
function run(program: string, args: readonly string[], env = {}, timeout = 60_000): string {
  const options = { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C', ...env } } as const;
  const result = spawnSync(program, args, { ...options, timeout, maxBuffer: 1 << 26 });
  if (result.error !== undefined) throw new Error(`${program}: ${result.error.message}`);
  if (result.status !== 0) {
    const lines = result.stderr.split('\n').filter((line) => line.startsWith('E: '));
    throw new Error(`${program}: ${lines[0]?.slice(3) ?? `ended with ${result.status}`}`);
  }
  return result.stdout;
}

/** Debian's main archive as this system knows it; @throws Error where it knows none */
export function debianOrigin(): Origin {
  const format = '$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)';
  const rows = run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  for (const row of rows.split('\n')) {
    const [origin, component, release = '', uri = ''] = row.split('|');
    if (origin !== 'Debian' || component !== 'main' || uri === '' || release.includes('-'))
      continue;
    return { uri, release };
  }
  throw new Error('apt knows no archive of Debian here (apt-get update first)');
}

/** One suite of Debian, with what was downloaded of it. */
export class Suite {
  /** As its own Release file calls it, whatever it was asked for by. */
  readonly codename: string;
  /** Packages are unpacked below it, as if it were a system of that suite. */
  readonly root: string;
  readonly #folder: string;

  /** Reads which packages a suite has; takes seconds. @throws Error where it cannot be had */
  constructor({ uri }: Origin, release: string, folder: string) {
    this.#folder = folder;
    this.root = join(folder, 'root');
    for (const name of ['root', 'etc/none', 'state/lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    writeFileSync(join(folder, 'status'), '', { flag: 'a' });
    const signed = existsSync(KEYRING) ? ` [signed-by=${KEYRING}]` : '';
    writeFileSync(join(folder, 'sources.list'), `deb${signed} ${uri} ${release} main\n`);
    writeFileSync(join(folder, 'apt.conf'), this.#configuration());
    this.#apt('apt-get', ['-q', 'update'], UPDATE_MS_MAX);
    this.codename = this.#readCodename() ?? release;
  }

  /** Without a part of the system's, whose hooks reach into the system. */
  #configuration(): string {
    const ours = run('apt-config', ['dump']).split('\n');
    const folder = this.#folder;
    const lines = [
      ...ours.filter((line) => TAKEN_OVER.test(line)),
      `Dir::Etc "${folder}/etc";`,
      `Dir::Etc::sourcelist "${folder}/sources.list";`,
      `Dir::Etc::sourceparts "${folder}/etc/none";`,
      `Dir::Etc::parts "${folder}/etc/none";`,
      `Dir::Etc::preferencesparts "${folder}/etc/none";`,
      'Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";',
      `Dir::State "${folder}/state";`,
      `Dir::State::status "${folder}/status";`,
      `Dir::Cache "${folder}/cache";`,
      `Dir::Log "${folder}";`,
      'Acquire::Languages "none";',
      'APT::Install-Recommends "0";',
      // Its own user may not read a temporary folder.
      'APT::Sandbox::User "root";',
      'Debug::NoLocking "1";',
    ];
    return `${lines.join('\n')}\n`;
  }

  #apt(program: string, args: readonly string[], timeout?: number): string {
    return run(program, args, { APT_CONFIG: join(this.#folder, 'apt.conf') }, timeout);
  }

  #readCodename(): string | undefined {
    const lists = join(this.#folder, 'state/lists');
    const name = readdirSync(lists).find((file) => file.endsWith('Release'));
    if (name === undefined) return undefined;
    return /^Codename: (\S+)$/m.exec(readFileSync(join(lists, name), 'utf8'))?.[1];
  }

  /** The version that the suite has of each package, where it has one. */
  versions(packages: readonly string[]): Map<string, string> {
    const text = this.#apt('apt-cache', ['policy', ...packages]);
    const found = [...text.matchAll(/^(\S+):\n.*\n {2}Candidate: (.+)$/gm)];
    return new Map(
      found.flatMap(([, name = '', version = '']) =>
        version === '(none)' ? [] : [[name, version]],
      ),
    );
  }

  /** Downloads a package with all that it depends on. @throws Error */
  download(name: string): void {
    const how = ['-q', '-y', '--download-only', '--no-install-recommends', 'install', name];
    this.#apt('apt-get', how, DOWNLOAD_MS_MAX);
  }

  /** Unpacks all that was downloaded. @throws Error */
  unpack(): void {
    const archives = join(this.#folder, 'cache/archives');
    for (const name of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
      run('dpkg-deb', ['-x', join(archives, name), this.root], {}, DOWNLOAD_MS_MAX);
    }
  }
}

/** Whether version `a` of a package is newer than `b`, by Debian's rules. */
export function isNewer(a: string, b: string): boolean {
  return spawnSync('dpkg', ['--compare-versions', a, 'gt', b]).status === 0;
}
