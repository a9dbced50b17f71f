import t from 'tap';
import { COUNTERS_PER_LINK, ECN_BASE, namedCounters } from '../../src/table/counters.ts';
import {
  DscpMode,
  decapsulateTos,
  ECN_CE,
  ECN_CELLS,
  ECN_ECT0,
  ECN_ECT1,
  ECN_NOT_ECT,
  ecnAlarm,
  ecnCell,
  ecnResult,
  encapsulateEcn,
  encapsulateTos,
  isEcnDrop,
} from '../../src/wire/ecn.ts';

// RFC 6040 figure 4, written here a second time and row by row: inner down, outer across
// (Not-ECT, ECT(0), ECT(1), CE); "!" logs, "!!!" alarms.
const FIGURE = `
  not-ect | not-ect | not-ect !!! | not-ect !!! | drop !!!
  ect0    | ect0    | ect0        | ect1        | ce
  ect1    | ect1    | ect1 !      | ect1        | ce
  ce      | ce      | ce          | ce !!!      | ce
`;
const CODE: Record<string, number> = {
  'not-ect': ECN_NOT_ECT,
  ect0: ECN_ECT0,
  ect1: ECN_ECT1,
  ce: ECN_CE,
};
const OUTER = [ECN_NOT_ECT, ECN_ECT0, ECN_ECT1, ECN_CE];
const ALARM: Record<string, number> = { '': 0, '!': 1, '!!!': 2 };

t.test('codepoints are those of RFC 3168', async (t) => {
  t.same([ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE], [0b00, 0b01, 0b10, 0b11]);
});

t.test('decapsulation follows all 16 cells', async (t) => {
  let cells = 0;
  for (const line of FIGURE.trim().split('\n')) {
    const [inner = '', ...results] = line.split('|').map((text) => text.trim());
    for (const [index, text] of results.entries()) {
      const [result = '', marks = ''] = text.split(' ');
      const outer = OUTER[index] ?? 0;
      const cell = ecnCell(CODE[inner] ?? -1, outer);
      t.equal(isEcnDrop(cell), result === 'drop', `${inner} in ${outer}: drop`);
      t.equal(ecnAlarm(cell), ALARM[marks], `${inner} in ${outer}: alarm`);
      if (result !== 'drop') t.equal(ecnResult(cell), CODE[result], `${inner} in ${outer}`);
      t.match(ECN_CELLS[cell], { inner: CODE[inner], outer }, 'table is in cell order');
      cells += 1;
    }
  }
  t.equal(cells, 16);
});

t.test('cell names are stable and different', async (t) => {
  t.equal(new Set(ECN_CELLS.map(({ name }) => name)).size, 16);
  t.equal(ECN_CELLS[ecnCell(ECN_NOT_ECT, ECN_CE)]?.name, 'ecn.not_ect_ce');
  t.equal(ECN_CELLS[ecnCell(ECN_CE, ECN_ECT1)]?.name, 'ecn.ce_ect1');
});

t.test('the counter column holds the cells in the same order and by the same names', async (t) => {
  const column = new Float64Array(COUNTERS_PER_LINK);
  for (let cell = 0; cell < 16; cell++) column[ECN_BASE + cell] = cell + 1;
  const counters = namedCounters(column);
  for (const [cell, { name }] of ECN_CELLS.entries()) t.equal(counters[name], cell + 1, name);
});

t.test('encapsulation copies ECN, CE included', async (t) => {
  for (let ecn = 0; ecn < 4; ecn++) t.equal(encapsulateEcn(0xb8 | ecn), ecn);
});

t.test('DSCP is decided apart from ECN', async (t) => {
  t.equal(encapsulateTos(DscpMode.Pipe, 0xbb), 0x03, 'pipe: our own DSCP, 0');
  t.equal(encapsulateTos(DscpMode.Pipe, 0xbb, 0x28), 0x2b, 'pipe: our own DSCP');
  t.equal(encapsulateTos(DscpMode.Uniform, 0xbb, 0x28), 0xbb, 'uniform: copied');
  t.equal(decapsulateTos(DscpMode.Pipe, 0xba, 0x2b), 0xbb, 'pipe: inner DSCP, CE in');
  t.equal(decapsulateTos(DscpMode.Uniform, 0xba, 0x2b), 0x2b, 'uniform: outer DSCP, CE in');
  t.equal(decapsulateTos(DscpMode.Uniform, 0xb9, 0x2a), 0x29, 'uniform: ECT(1) stays');
});
