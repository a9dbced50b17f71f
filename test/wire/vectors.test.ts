import t from 'tap';
import { CHECKS } from '../vectors/checks.ts';
import { CODECS } from '../vectors/codecs.ts';
import { fromHex, toHex, viewOf } from '../vectors/hex.ts';

for (const { name, emit, parse, vectors } of CODECS) {
  t.test(`${name}: emit and parse are inverse`, async (t) => {
    for (const { fields, hex } of vectors) {
      const wanted = fromHex(hex);
      // Not at offset 0, and over old bytes: an emitter writes its header whole and nothing else.
      const room = new Uint8Array(wanted.length + 8).fill(0xa5);
      emit(viewOf(room), 3, fields);
      t.equal(toHex(room), `a5a5a5${toHex(wanted)}a5a5a5a5a5`, hex);
      t.same(parse(viewOf(wanted), 0), fields, `fields of ${hex}`);
    }
  });
}

for (const { name, check, rows } of CHECKS) {
  t.test(`${name} names the fault`, async (t) => {
    for (const [what, hex, fault] of rows) {
      const bytes = fromHex(hex);
      t.equal(check(viewOf(bytes), 0, bytes.length), fault, what);
      // The same bytes in a larger arena: what stands around them must not matter.
      const arena = new Uint8Array(bytes.length + 64).fill(0xff);
      arena.set(bytes, 7);
      t.equal(check(viewOf(arena), 7, bytes.length), fault, `${what}, inside an arena`);
    }
  });
}
