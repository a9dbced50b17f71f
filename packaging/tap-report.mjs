// The reporter of `npm test`: a line for each file, every failure with its details, every skip with
// its reason, and totals. tap's own reporters leave out why something was skipped.
import { Transform } from 'node:stream';

const DETAIL_LINES_MAX = 40;
const NAME_CHARS_MAX = 300;
const LEVEL_SPACES = 4;
const RESULT = /^(not )?ok \d+(?: - (.*?))?(?: # (SKIP|TODO|time=[\d.]+m?s)\b ?(.*))?$/i;
const SUBTEST = /^# Subtest(?:: (.*))?$/;
const TOTALS = /^# \{ total: .*\}$/;

export default class Report extends Transform {
  #rest = '';
  /** Names of the tests that are open, the file first. */
  #path = [];
  /** Failures told so far, by depth of the test that they happened in: the parents stay silent. */
  #failures = 0;
  #failuresAtStart = [];
  /** Lines of the open YAML block so far, −1 outside one; and how far it is indented. */
  #detail = -1;
  #indent = 0;
  /** Full names of skipped tests by reason. */
  #skips = new Map();

  _transform(chunk, _encoding, done) {
    const lines = (this.#rest + chunk.toString()).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
    done();
  }

  _flush(done) {
    if (this.#rest !== '') this.#line(this.#rest);
    if (this.#skips.size > 0) this.#say('\nSkipped:');
    for (const [reason, names] of this.#skips) {
      const [first] = names;
      this.#say(`  ${reason || 'no reason given'}`);
      this.#say(`    ${first}${names.length > 1 ? ` and ${names.length - 1} more` : ''}`);
    }
    done();
  }

  #line(line) {
    const text = line.trimStart();
    const depth = Math.floor((line.length - text.length) / LEVEL_SPACES);
    if (this.#detail >= 0 && this.#inDetail(line, text)) return;
    const subtest = SUBTEST.exec(text);
    if (subtest !== null) {
      this.#path.length = depth;
      this.#path[depth] = subtest[1] ?? 'unnamed';
      this.#failuresAtStart[depth] = this.#failures;
      return;
    }
    if (depth === 0 && TOTALS.test(text)) return this.#say(`\n${text}`);
    const result = RESULT.exec(text);
    if (result !== null) this.#result(depth, result);
  }

  #result(depth, [, not, name = '', kind = '', rest = '']) {
    const closes = this.#path.length > depth && this.#path[depth] !== undefined;
    const path = [...this.#path.slice(0, depth), closes ? this.#path[depth] : name];
    const told = closes && this.#failures > this.#failuresAtStart[depth];
    this.#path.length = Math.min(this.#path.length, depth);
    if (kind.toUpperCase() === 'SKIP') {
      const names = this.#skips.get(rest) ?? [];
      this.#skips.set(rest, [...names, path.join(' > ')]);
    } else if (not !== undefined && kind.toUpperCase() !== 'TODO' && !told) {
      this.#failures += 1;
      this.#say(`\nFAILED ${path.join(' > ').slice(0, NAME_CHARS_MAX)}`);
      this.#detail = 0;
    }
    if (depth === 0)
      this.#say(`${not === undefined ? 'ok  ' : 'FAIL'} ${path[0]} ${kind}`.trimEnd());
  }

  /** Prints the YAML block behind a failure; false when the line is no longer part of one. */
  #inDetail(line, text) {
    if (this.#detail === 0) {
      if (text !== '---') {
        this.#detail = -1;
        return false;
      }
      this.#detail = 1;
      this.#indent = line.length - text.length;
      return true;
    }
    if (text === '...') this.#detail = -1;
    else if (this.#detail++ <= DETAIL_LINES_MAX)
      this.#say(`    ${line.slice(this.#indent)}`.trimEnd());
    return true;
  }

  #say(line) {
    this.push(`${line}\n`);
  }
}
