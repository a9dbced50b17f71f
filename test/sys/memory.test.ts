import { readFileSync } from 'node:fs';
import t from 'tap';
import { releaseProgramPages } from '../../src/sys/libc/memory.ts';

/** Resident pages of files, kB. */
function residentFileKb(): number {
  return Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);
}

const skip = !/^Anonymous:/m.test(readFileSync('/proc/self/smaps', 'latin1')) && 'no smaps here';

t.test('what only the start needs of the program is let go of', { skip }, async (t) => {
  const before = residentFileKb();
  const released = releaseProgramPages();
  const after = residentFileKb();
  t.ok(released > 10 << 20, `${released} bytes of ranges`);
  t.ok(after < before * 0.7, `${before} kB before, ${after} after`);
  // What is used again comes back from the files.
  t.same(JSON.parse(JSON.stringify({ a: [1, 'b', null] })), { a: [1, 'b', null] });
  t.match(new Intl.NumberFormat('en').format(1234567.5), '1,234,567.5');
  t.ok(releaseProgramPages() > 0, 'and may go again');
});
