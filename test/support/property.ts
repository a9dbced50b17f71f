/**
 * A property of values that fast-check makes up, as one assertion of a test.
 * @module
 */
import fc from 'fast-check';
import type { Test } from 'tap';

/** Asserts that `property` holds; the smallest value for which it does not is in the message. */
export function holds<T>(
  t: Test,
  property: fc.IProperty<T>,
  parameters: fc.Parameters<T> = {},
): void {
  const result = fc.check(property, parameters);
  t.notOk(result.failed, result.failed ? (fc.defaultReportMessage(result) ?? '') : 'holds');
}
