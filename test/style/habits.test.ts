import t from 'tap';
import { findRoot, readSources, withoutComments } from './sources.ts';

const root = findRoot();
const skip = root === '' && 'the sources are not beside the tests';

/** Code without comments, texts and imports. */
function code(text: string): string {
  return withoutComments(text)
    .replace(/^(?:import|export)\b[^;]*?from '[^']*';/gm, '')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''");
}

/** A value that is called something it was not read as. */
const CAST = /\bas (?!const\b)[A-Za-z{([]/;
/** Two values compared by what they print as. */
const BY_TEXT = /JSON\.stringify\([^;]*?\)\)? *[!=]==|[!=]== *JSON\.stringify\(/;
/** A function of the C library that a test puts another in the place of. */
const PATCH =
  /\blibc(?:\.|\[)\w+\]? *=(?!=)|assign\(libc\b|defineProperty\(libc\b|mock[^;]*libc\/libc/;

t.test(
  'the command line reads what it is answered, and calls nothing something else',
  { skip },
  async (t) => {
    const sources = readSources(root, 'src').filter(({ room }) => room === 'cli');
    t.ok(sources.length > 50, `${sources.length} files`);
    for (const { path, text } of sources) t.notMatch(code(text), CAST, path);
    t.match(
      code('const { holders } = (await ask()) as State;'),
      CAST,
      'the gate sees what it should see',
    );
    t.notMatch(code("import { a as b } from './a.ts';\nconst c = ['as JSON'] as const;"), CAST);
  },
);

t.test('nothing is compared by its JSON', { skip }, async (t) => {
  for (const { path, text } of readSources(root, 'src')) {
    t.notMatch(withoutComments(text), BY_TEXT, path);
  }
  t.match('if (JSON.stringify(a) === JSON.stringify(b)) return;', BY_TEXT, 'the gate sees it');
});

t.test('no test puts something in the place of the C library', { skip }, async (t) => {
  for (const { path, text } of readSources(root, 'test')) {
    if (!path.endsWith('style/habits.test.ts')) t.notMatch(withoutComments(text), PATCH, path);
  }
  t.match('libc.poll = () => 0;', PATCH, 'the gate sees what it should see');
});
