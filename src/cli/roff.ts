/**
 * Manual pages from the verb table, in the man macros that groff and mandoc both know.
 * @module
 */
import { VERSION } from '../version.ts';
import { ENVIRONMENT, EXIT_CODES, TITLE } from './verb/program-text.ts';
import type { VerbGroup, VerbText } from './verb/verb.ts';

const SECTION = 8;

/** Characters that roff would read or draw as something else. */
const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  '~': '\\(ti',
  '^': '\\(ha',
  '`': '\\(ga',
  "'": '\\(aq',
  '"': '\\(dq',
};

/** Text as roff prints it, on one line. */
export function escapeRoff(text: string): string {
  const escaped = [...text]
    .map((character) => {
      const code = character.codePointAt(0) ?? 0;
      if (code > 0x7e) return `\\[u${code.toString(16).toUpperCase().padStart(4, '0')}]`;
      return SPECIAL[character] ?? character;
    })
    .join('');
  // A leading dot would be a request.
  return escaped.startsWith('.') ? `\\&${escaped}` : escaped;
}

function heading(page: string): string[] {
  return [`.TH ${escapeRoff(page)} ${SECTION} "" "fanway ${escapeRoff(VERSION)}" "fanway"`];
}

function section(title: string): string {
  return `.SH ${title}`;
}

function item(left: string, right: string): string[] {
  return ['.TP', `\\fB${escapeRoff(left)}\\fR`, escapeRoff(right)];
}

/** Lines as they are typed. */
function literal(lines: readonly string[]): string[] {
  return ['.nf', ...lines.map((line) => `\\fB${escapeRoff(line)}\\fR`), '.fi'];
}

function paragraphs(lines: readonly string[]): string[] {
  return lines.map((line) => (line === '' ? '.PP' : escapeRoff(line)));
}

function also(pages: readonly string[]): string[] {
  const references = pages.map((page) => `.BR ${escapeRoff(page)} (${SECTION})`);
  return [section('SEE ALSO'), ...references.map((line, at) => separated(line, at, pages.length))];
}

function separated(line: string, at: number, count: number): string {
  return at < count - 1 ? `${line} ,` : line;
}

/** fanway(8): all verbs, each with its line. */
export function overviewPage(groups: readonly VerbGroup[]): string {
  const lines = [
    ...heading('fanway'),
    section('NAME'),
    `fanway \\- ${escapeRoff(TITLE)}`,
    section('SYNOPSIS'),
    ...literal(['fanway VERB [ARGUMENTS]', 'fanway help VERB', 'fanway version']),
    section('DESCRIPTION'),
    ...paragraphs([
      'A fan gives each host of an underlay a slice of an overlay network, by arithmetic: the address',
      'of a container says which host it is on. fanway carries the packets between the hosts, over',
      'VXLAN, IP in IP or FOU, in processes of its own on a stock kernel. It does not encrypt.',
    ]),
    section('VERBS'),
  ];
  for (const { title, verbs } of groups) {
    lines.push(`.SS "${escapeRoff(title)}"`);
    for (const { name, summary } of verbs) lines.push(...item(name, summary));
  }
  lines.push(section('"EXIT STATUS"'));
  for (const [code, meaning] of EXIT_CODES) lines.push(...item(String(code), meaning));
  lines.push(section('ENVIRONMENT'));
  for (const [name, meaning] of ENVIRONMENT) lines.push(...item(name, meaning));
  lines.push(
    ...also(groups.flatMap(({ verbs }) => verbs.map(({ name }) => `fanway-${name}`)).sort()),
  );
  return `${lines.join('\n')}\n`;
}

/** The page of one verb, fanway-VERB(8). */
export function verbPage({ name, summary, usage, details, options, examples }: VerbText): string {
  const lines = [
    ...heading(`fanway-${name}`),
    section('NAME'),
    `fanway\\-${name} \\- ${escapeRoff(summary)}`,
    section('SYNOPSIS'),
    ...literal(usage.map((line) => `fanway ${line}`)),
  ];
  if (details !== undefined) lines.push(section('DESCRIPTION'), ...paragraphs(details));
  if (options.length > 0) {
    lines.push(section('OPTIONS'));
    for (const [flag, doc] of options) lines.push(...item(flag, doc));
  }
  lines.push(section('EXAMPLES'));
  for (const [command, doc] of examples) {
    lines.push('.PP', escapeRoff(doc), '.PP', '.RS 4', ...literal([command]), '.RE');
  }
  lines.push(section('"EXIT STATUS"'), 'As in', `.BR fanway (${SECTION}).`, ...also(['fanway']));
  return `${lines.join('\n')}\n`;
}
