// Loaded into every test file by the test runner (.taprc): a test that asserts nothing has shown
// nothing, and counts as failed. What cannot be tried here says `skip`, with its reason.
import t from 'tap';

t.afterEach((child) => {
  // `plan(0, reason)` is a skip too.
  if (child.count === 0 && !child.options.skip)
    throw new Error(`"${child.name}" asserts nothing: skip it, with the reason`);
});
