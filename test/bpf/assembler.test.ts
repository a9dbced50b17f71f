import t from 'tap';
import { Assembler, reg } from '../../src/bpf/assembler.ts';
import { Register } from '../../src/bpf/instructions.ts';

const { R0, R1, R2, R3, R10 } = { ...Register, R10: Register.FP };

function hexOf(write: (asm: Assembler) => void): string {
  const asm = new Assembler();
  write(asm);
  return Buffer.from(asm.build())
    .toString('hex')
    .replace(/(.{16})(?=.)/g, '$1 ');
}

// From RFC 9669, table by table: code, registers (source above target), offset, constant.
const CASES: [string, (asm: Assembler) => void, string][] = [
  ['a constant', (asm) => asm.move(R1, 5), 'b701000005000000'],
  ['a register', (asm) => asm.move(R2, reg(R1)), 'bf12000000000000'],
  ['a negative constant', (asm) => asm.alu('add', R2, -46), '07020000d2ffffff'],
  ['a subtraction', (asm) => asm.alu('sub', R3, reg(R2)), '1f23000000000000'],
  ['32 bits', (asm) => asm.alu32('and', R1, 0xff000000), '54010000000000ff'],
  ['a shift', (asm) => asm.alu('shiftRight', R0, 8), '7700000008000000'],
  ['network order', (asm) => asm.fromNetwork(R1, 32), 'dc01000020000000'],
  ['a load', (asm) => asm.load(4, R1, R10, -56), '61a1c8ff00000000'],
  ['a load of 8 bytes', (asm) => asm.load(8, R1, R3, 16), '7931100000000000'],
  ['a store', (asm) => asm.store(2, R10, -4, reg(R1)), '6b1afcff00000000'],
  ['a store of a constant', (asm) => asm.store(1, R10, -99, 64), '720a9dff40000000'],
  ['a map', (asm) => asm.loadMap(R1, 7), '1811000007000000 0000000000000000'],
  ['a call', (asm) => asm.call('mapLookup').exit(), '8500000001000000 9500000000000000'],
  [
    'a jump forward and one back',
    (asm) => {
      asm.label('top').jumpIf(R1, 'equal', 3, 'end').jump('top').label('end').exit();
    },
    '1501010003000000 0500feff00000000 9500000000000000',
  ],
  [
    'a jump of 32 bits',
    (asm) => asm.jumpIf32(R1, 'above', reg(R2), 'end').label('end').exit(),
    '2e21000000000000 9500000000000000',
  ],
];

t.test('instructions are what RFC 9669 says', async (t) => {
  for (const [name, write, bytes] of CASES) t.equal(hexOf(write), bytes, name);
});

t.test('a program that cannot be is not made', async (t) => {
  t.throws(() => new Assembler().jump('nowhere').build(), /no label nowhere/);
  t.throws(() => new Assembler().label('here').label('here'), /twice/);
  const far = new Assembler().jump('end');
  for (let i = 0; i < 40_000; i++) far.exit();
  t.throws(() => far.label('end').build(), /does not fit/);
  t.throws(() => new Assembler().load(4, R1, R10, 40_000).build(), /does not fit/);
});
