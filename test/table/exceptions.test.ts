import t from 'tap';
import { type Exception, ExceptionTable } from '../../src/table/exceptions.ts';
import { Random } from '../fuzz/mutate.ts';

function netmask(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

/** The plain way: the longest of all that contain the address, the last of equal ones. */
function plainFind(exceptions: readonly Exception[], address: number): number {
  let best: Exception | undefined;
  for (const exception of exceptions) {
    const mask = netmask(exception.length);
    if ((address & mask) >>> 0 !== (exception.address & mask) >>> 0) continue;
    if (best === undefined || exception.length >= best.length) best = exception;
  }
  return best?.peer ?? 0;
}

t.test('an empty table leaves everything to the arithmetic', async (t) => {
  const table = new ExceptionTable([]);
  for (const address of [0, 1, 0xfa001b02, 0xffffffff]) t.equal(table.find(address), 0);
});

t.test('the longest prefix wins, whatever the order', async (t) => {
  const slice = { address: 0xfa001b00, length: 24, peer: 0xac1e0001 };
  const half = { address: 0xfa001b80, length: 25, peer: 0xac1e0002 };
  const one = { address: 0xfa001b81, length: 32, peer: 0xac1e0003 };
  for (const list of [
    [slice, half, one],
    [one, half, slice],
    [half, one, slice],
  ]) {
    const table = new ExceptionTable(list);
    t.equal(table.find(0xfa001b02), slice.peer);
    t.equal(table.find(0xfa001b82), half.peer);
    t.equal(table.find(0xfa001b81), one.peer);
    t.equal(table.find(0xfa001c02), 0);
  }
});

t.test('host bits do not matter, and of two with one prefix the last counts', async (t) => {
  const table = new ExceptionTable([
    { address: 0xfa001b02, length: 24, peer: 1 },
    { address: 0xfa001b77, length: 24, peer: 2 },
    { address: 0, length: 0, peer: 3 },
  ]);
  t.equal(table.find(0xfa001bff), 2);
  t.equal(table.find(0xffffffff), 3, 'a default that contains all');
});

t.test('random tables find what a search through all of them finds', async (t) => {
  const random = new Random(4242);
  for (let round = 0; round < 200; round++) {
    const exceptions = Array.from({ length: random.below(60) }, () => ({
      // Few networks, so that prefixes overlap and equal each other.
      address: (0xfa000000 | random.below(0x400)) >>> 0,
      length: random.below(33),
      peer: 1 + random.below(0xfffffffe),
    }));
    const table = new ExceptionTable(exceptions);
    for (let i = 0; i < 200; i++) {
      const address = (0xfa000000 | random.below(0x500)) >>> 0;
      if (table.find(address) !== plainFind(exceptions, address)) {
        t.fail(`${address.toString(16)} in ${JSON.stringify(exceptions)}`);
        return;
      }
    }
  }
  t.pass('40,000 look-ups agree');
});

t.test('131,072 single addresses, each found, their neighbours not', async (t) => {
  const exceptions = Array.from({ length: 131_072 }, (_, index) => ({
    address: (0xfa000000 + 2 * index) >>> 0,
    length: 32,
    peer: 1 + index,
  }));
  const table = new ExceptionTable(exceptions);
  const wrong = exceptions.filter(
    ({ address, peer }) => table.find(address) !== peer || table.find(address + 1) !== 0,
  );
  t.equal(wrong.length, 0);
});
