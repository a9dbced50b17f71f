// Loaded into every test file by the test runner (test-run.mjs): a test that asserts nothing has shown
// nothing, and counts as failed. What cannot be tried here says `skip`, with its reason.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

// The tap of the test file itself: build.mjs --tests puts one beside the tests.
const tap = createRequire(resolve(process.argv[1])).resolve('tap');
const { default: t } = await import(
  tap.endsWith('/node_modules/tap/index.js') ? pathToFileURL(tap) : 'tap'
);

t.afterEach((child) => {
  // `plan(0, reason)` is a skip too.
  if (child.count === 0 && !child.options.skip)
    throw new Error(`"${child.name}" asserts nothing: skip it, with the reason`);
});
