// Whose work is in what we hand out, and on which terms.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bundle.mjs';

/** The packages that a bundle has in it; each is under the MIT licence (Debian's name: Expat). */
const PACKAGES = {
  koffi: 'LICENSE.txt',
  netlink: 'LICENSE',
  'cbor-x': 'LICENSE',
  'ip-address': 'LICENSE',
};

function packageOf(name) {
  const folder = join(root, 'node_modules', name);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return { version, text: readFileSync(join(folder, PACKAGES[name]), 'utf8').trim() };
}

/** The lines that say who holds the copyright. @throws Error when a text has none, or is no MIT licence. */
function holders(name, text) {
  const lines = text.match(/^Copyright\b.*$/gm);
  if (lines === null || !text.includes('Permission is hereby granted, free of charge')) {
    throw new Error(`${name}: its licence is not the one that packaging/notices.mjs takes it for`);
  }
  return lines.map((line) => line.replace(/^Copyright\s*(\(c\)|©)?\s*/i, ''));
}

/** All texts, one after the other; `node` is that of Node where it is carried along. */
export function noticesOf(node) {
  const parts = [['fanway', readFileSync(join(root, 'LICENSE'), 'utf8').trim()]];
  for (const name of Object.keys(PACKAGES)) {
    const { version, text } = packageOf(name);
    parts.push([`${name} ${version}`, text]);
  }
  if (node !== undefined) parts.push(['Node.js', node.trim()]);
  return parts
    .map(([title, text]) => `${title}\n${'='.repeat(title.length)}\n\n${text}\n`)
    .join('\n\n');
}

/** debian/copyright, machine-readable (copyright-format 1.0). */
export function copyrightOf() {
  const own = readFileSync(join(root, 'LICENSE'), 'utf8');
  const terms = own.slice(own.indexOf('Permission is hereby granted')).trim();
  const paragraph = (files, text, name) =>
    `Files: ${files}\nCopyright: ${holders(name, text).join('\n ')}\nLicense: Expat\n`;
  const body = terms
    .split('\n')
    .map((line) => (line.trim() === '' ? ' .' : ` ${line}`))
    .join('\n');
  const others = Object.keys(PACKAGES).map((name) => {
    const { version, text } = packageOf(name);
    const isNative =
      existsSync(join(root, 'node_modules', name)) && ['koffi', 'netlink'].includes(name);
    const files = isNative ? `usr/lib/fanway/${name}.node` : 'usr/lib/fanway/fanway.js';
    return `${paragraph(files, text, name)}Comment: ${name} ${version}, of which this file has a copy in it.\n`;
  });
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: fanway\n',
    paragraph('*', own, 'fanway'),
    ...others,
    `License: Expat\n${body}\n`,
  ].join('\n');
}
