// The Debian package, made with dpkg-deb alone: `npm run package`.
//
//   npm run package                     for amd64 and arm64, into .build/packages
//   npm run package -- --arch arm64     for one of them
//   npm run package -- --out DIR --revision N
//
// It depends on Debian's nodejs (20 or later) and does not carry the single file: that is 100 MB, and
// Node's security updates would not reach it. Where Debian's is older, the single file goes everywhere.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bundle, manifest, nativeFiles, option, root } from './bundle.mjs';
import { strip } from './elf.mjs';
import { copyrightOf } from './notices.mjs';

const ARCHITECTURES = { amd64: 'x64', arm64: 'arm64' };
/** Ours, not upstream's: counts up when only the packaging changes. */
const REVISION = option('revision') ?? '1';
const MAINTAINER = 'maintainers@fanway.invalid';
const SCRIPTS = ['postinst', 'prerm', 'postrm'];
const SHELLS = {
  bash: 'usr/share/bash-completion/completions/fanway',
  zsh: 'usr/share/zsh/vendor-completions/_fanway',
  fish: 'usr/share/fish/vendor_completions.d/fanway.fish',
};

const upstream = manifest().version;
const version = `${upstream}-${REVISION}`;
/** Of the commit, so that one commit makes one package, byte for byte. */
const stamp = new Date(1000 * Number(process.env.SOURCE_DATE_EPOCH ?? commitTime()));

function commitTime() {
  try {
    return execFileSync('git', ['log', '-1', '--format=%ct'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    // An unpacked archive without a history: the day of its changelog.
    return Math.floor(statSync(join(root, 'CHANGELOG.md')).mtimeMs / 1000);
  }
}

/** As `gzip -9n` does: no name, no time. */
const gzip = (text) => gzipSync(text, { level: 9 });

/** A folder that becomes the package. */
class Tree {
  constructor(path) {
    this.path = path;
  }
  put(name, content, mode = 0o644) {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    chmodSync(path, mode);
  }
  copy(from, name, mode = 0o644) {
    this.put(name, readFileSync(from), mode);
  }
  /** Plain files, relative to the root, sorted. */
  files() {
    return readdirSync(this.path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(this.path, join(entry.parentPath ?? entry.path, entry.name)))
      .sort();
  }
  /** Folders 0755 whatever our umask, and one time for everything. */
  settle() {
    const entries = readdirSync(this.path, { recursive: true, withFileTypes: true });
    for (const entry of [...entries].reverse()) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      if (entry.isDirectory()) chmodSync(path, 0o755);
      lutimesSync(path, stamp, stamp);
    }
    chmodSync(this.path, 0o755);
    lutimesSync(this.path, stamp, stamp);
  }
}

function changelog() {
  const date = stamp.toUTCString().replace('GMT', '+0000');
  return `fanway (${version}) unstable; urgency=medium\n\n  * Version ${upstream}; what changed is in changelog.gz.\n\n -- fanway authors <${MAINTAINER}>  ${date}\n`;
}

function fanway(...words) {
  return execFileSync(process.execPath, [join(root, 'dist/fanway.js'), ...words], {
    encoding: 'utf8',
  });
}

async function fill(tree, arch) {
  const lib = 'usr/lib/fanway';
  const scratch = mkdtempSync(join(tmpdir(), 'fanway-bundle-'));
  try {
    await bundle({ out: scratch, single: false });
    for (const name of readdirSync(scratch)) {
      const text = readFileSync(join(scratch, name));
      const isProgram = text.subarray(0, 2).toString() === '#!';
      // Debian's own Node, whatever the path of whoever calls.
      const content = isProgram ? text.toString().replace(/^#!.*\n/, '#!/usr/bin/node\n') : text;
      tree.put(`${lib}/${name}`, content, isProgram ? 0o755 : 0o644);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  tree.put(
    `${lib}/package.json`,
    `${JSON.stringify({ name: 'fanway', version: upstream, type: 'module' })}\n`,
  );
  for (const [name, path] of Object.entries(nativeFiles(arch)))
    tree.put(`${lib}/${name}.node`, strip(readFileSync(path)));
  mkdirSync(join(tree.path, 'usr/bin'), { recursive: true });
  symlinkSync('../lib/fanway/fanway.js', join(tree.path, 'usr/bin/fanway'));
  for (const [shell, path] of Object.entries(SHELLS)) tree.put(path, fanway('completion', shell));
  const man = mkdtempSync(join(tmpdir(), 'fanway-man-'));
  try {
    fanway('man', '--out', man);
    for (const page of readdirSync(man))
      tree.put(`usr/share/man/man8/${page}.gz`, gzip(readFileSync(join(man, page))));
  } finally {
    rmSync(man, { recursive: true, force: true });
  }
  tree.copy(
    join(root, 'packaging/systemd/fanway.service'),
    'usr/lib/systemd/system/fanway.service',
  );
  const doc = 'usr/share/doc/fanway';
  tree.put(`${doc}/copyright`, copyrightOf());
  tree.put(`${doc}/changelog.gz`, gzip(readFileSync(join(root, 'CHANGELOG.md'))));
  tree.put(`${doc}/changelog.Debian.gz`, gzip(changelog()));
  tree.copy(join(root, 'README.md'), `${doc}/README.md`);
  for (const name of readdirSync(join(root, 'docs')))
    tree.copy(join(root, 'docs', name), `${doc}/docs/${name}`);
  tree.copy(join(root, 'packaging/fanway.conf.example'), `${doc}/examples/fanway.conf`);
  tree.copy(join(root, 'packaging/apparmor/fanway'), `${doc}/examples/apparmor`);
  tree.copy(join(root, 'packaging/ifupdown/fan.interfaces'), `${doc}/examples/fan.interfaces`);
}

function describe(tree, architecture) {
  const files = tree.files();
  const bytes = files.reduce((sum, name) => sum + statSync(join(tree.path, name)).size, 0);
  const values = {
    VERSION: version,
    ARCHITECTURE: architecture,
    MAINTAINER,
    INSTALLED_KB: String(Math.ceil(bytes / 1024)),
  };
  const template = readFileSync(join(root, 'packaging/debian/control'), 'utf8');
  tree.put(
    'DEBIAN/control',
    template.replace(/@([A-Z_]+)@/g, (_, name) => values[name]),
  );
  const sums = files.map(
    (name) =>
      `${createHash('md5')
        .update(readFileSync(join(tree.path, name)))
        .digest('hex')}  ${name}\n`,
  );
  tree.put('DEBIAN/md5sums', sums.join(''));
  for (const name of SCRIPTS)
    tree.copy(join(root, 'packaging/debian', name), `DEBIAN/${name}`, 0o755);
}

const wanted = option('arch');
const out = resolve(option('out') ?? join(root, '.build/packages'));
mkdirSync(out, { recursive: true });
for (const [architecture, arch] of Object.entries(ARCHITECTURES)) {
  if (wanted !== undefined && wanted !== architecture) continue;
  const scratch = mkdtempSync(join(tmpdir(), 'fanway-package-'));
  try {
    const tree = new Tree(scratch);
    await fill(tree, arch);
    describe(tree, architecture);
    tree.settle();
    const file = join(out, `fanway_${version}_${architecture}.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', scratch, file], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, SOURCE_DATE_EPOCH: String(stamp.getTime() / 1000) },
    });
    process.stdout.write(`${file}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
