/**
 * Assembles eBPF programs: instructions in the order in which they are written, jumps by label.
 *
 * A program is data that the kernel checks before it takes it, so nothing here can do harm; what is
 * checked here is what the kernel's answer would not explain: a label that is missing or twice there,
 * a jump too far.
 * @module
 */
import {
  ALU,
  type AluOperation,
  CLASS,
  type Comparison,
  Helper,
  type HelperName,
  JUMP,
  MODE_MEMORY,
  OP_CALL,
  OP_EXIT,
  OP_JUMP_ALWAYS,
  OP_LOAD_IMMEDIATE_64,
  OP_TO_BIG_ENDIAN,
  PSEUDO_KERNEL_FUNCTION,
  PSEUDO_MAP_FD,
  PSEUDO_MAP_VALUE,
  type Register,
  SIZE_BITS,
  type Size,
  SOURCE_REGISTER,
} from './instructions.ts';

/** A second operand that is a register; a plain number is a constant of 32 bits. */
export type RegisterOperand = { readonly register: Register };
export type Operand = number | RegisterOperand;

/**
 * A function of the kernel that is called by the number of its type (BTF): in which type information that stands,
 * 0 = the kernel's own, 1 = that of the module which is named when the program is loaded.
 */
export type KernelFunction = { readonly typeId: number; readonly origin: 0 | 1 };

/** `R1` as a second operand. */
export function reg(register: Register): RegisterOperand {
  return { register };
}

const INSTRUCTION_BYTES = 8;
const OFFSET_MAX = 0x7fff;

type Instruction = {
  code: number;
  target: number;
  source: number;
  offset: number;
  constant: number;
  /** Where a jump goes; its offset is known when all is written. */
  label?: string;
};

/** What an operand adds to the code, and where it stands. */
function parts(operand: Operand): { bit: number; source: number; constant: number } {
  if (typeof operand !== 'number')
    return { bit: SOURCE_REGISTER, source: operand.register, constant: 0 };
  return { bit: 0, source: 0, constant: operand | 0 };
}

export class Assembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();
  #made = 0;

  /** A label that no other piece of the program has. */
  fresh(name: string): string {
    return `${name}.${this.#made++}`;
  }

  #put(code: number, target = 0, source = 0, offset = 0, constant = 0, label?: string): this {
    const jump = label === undefined ? {} : { label };
    this.#instructions.push({ code, target, source, offset, constant, ...jump });
    return this;
  }

  /** Jumps to `name` lead here. @throws RangeError when it is there already */
  label(name: string): this {
    if (this.#labels.has(name)) throw new RangeError(`label ${name} is there twice`);
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  /** `target = target OP operand` on 64 bits; a constant is extended with its sign. */
  alu(operation: AluOperation, target: Register, operand: Operand): this {
    const { bit, source, constant } = parts(operand);
    return this.#put(CLASS.alu64 | ALU[operation] | bit, target, source, 0, constant);
  }

  /** The same on 32 bits; the upper half becomes 0. */
  alu32(operation: AluOperation, target: Register, operand: Operand): this {
    const { bit, source, constant } = parts(operand);
    return this.#put(CLASS.alu32 | ALU[operation] | bit, target, source, 0, constant);
  }

  move(target: Register, operand: Operand): this {
    return this.alu('move', target, operand);
  }

  /** The low `bits` of a register from network order to a number; the rest becomes 0. */
  fromNetwork(target: Register, bits: 16 | 32): this {
    return this.#put(OP_TO_BIG_ENDIAN, target, 0, 0, bits);
  }

  /** `target = memory[base + offset]`, without sign, in the order of this machine. */
  load(size: Size, target: Register, base: Register, offset: number): this {
    return this.#put(CLASS.load | MODE_MEMORY | SIZE_BITS[size], target, base, offset);
  }

  /** `memory[base + offset] = operand`. */
  store(size: Size, base: Register, offset: number, operand: Operand): this {
    const { bit, source, constant } = parts(operand);
    const kind = bit === 0 ? CLASS.storeImmediate : CLASS.store;
    return this.#put(kind | MODE_MEMORY | SIZE_BITS[size], base, source, offset, constant);
  }

  /** `target` becomes the map behind a descriptor. */
  loadMap(target: Register, fd: number): this {
    this.#put(OP_LOAD_IMMEDIATE_64, target, PSEUDO_MAP_FD, 0, fd);
    return this.#put(0);
  }

  /** `target` becomes the address of the first value of the array behind a descriptor. */
  loadMapValue(target: Register, fd: number): this {
    this.#put(OP_LOAD_IMMEDIATE_64, target, PSEUDO_MAP_VALUE, 0, fd);
    return this.#put(0);
  }

  jump(label: string): this {
    return this.#put(OP_JUMP_ALWAYS, 0, 0, 0, 0, label);
  }

  /** Jumps where the comparison of 64 bits holds; a constant is extended with its sign. */
  jumpIf(left: Register, comparison: Comparison, operand: Operand, label: string): this {
    const { bit, source, constant } = parts(operand);
    return this.#put(CLASS.jump | JUMP[comparison] | bit, left, source, 0, constant, label);
  }

  /** The same for the low 32 bits. */
  jumpIf32(left: Register, comparison: Comparison, operand: Operand, label: string): this {
    const { bit, source, constant } = parts(operand);
    return this.#put(CLASS.jump32 | JUMP[comparison] | bit, left, source, 0, constant, label);
  }

  /** Calls a function of the kernel with R1 to R5; its result is in R0. */
  call(helper: HelperName): this {
    return this.#put(OP_CALL, 0, 0, 0, Helper[helper]);
  }

  /** The same for a function that has no number of its own (Linux 5.13; of a module 5.16). */
  callKernel({ typeId, origin }: KernelFunction): this {
    return this.#put(OP_CALL, 0, PSEUDO_KERNEL_FUNCTION, origin, typeId);
  }

  exit(): this {
    return this.#put(OP_EXIT);
  }

  /** Whether a jump leads to a label so far. */
  isUsed(name: string): boolean {
    return this.#instructions.some(({ label }) => label === name);
  }

  /** How many instructions of 8 bytes there are so far. */
  get length(): number {
    return this.#instructions.length;
  }

  /**
   * The program as the kernel takes it, little endian.
   * @throws RangeError for a label that nobody wrote, or one too far away
   */
  build(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#instructions.length * INSTRUCTION_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [i, instruction] of this.#instructions.entries()) {
      const at = i * INSTRUCTION_BYTES;
      const { code, target, source, constant, label } = instruction;
      const offset = label === undefined ? instruction.offset : this.#distance(i, label);
      if (offset > OFFSET_MAX || offset < -OFFSET_MAX - 1) {
        throw new RangeError(`offset ${offset} of instruction ${i} does not fit 16 bits`);
      }
      view.setUint8(at, code);
      view.setUint8(at + 1, (source << 4) | target);
      view.setInt16(at + 2, offset, true);
      view.setInt32(at + 4, constant, true);
    }
    return bytes;
  }

  #distance(from: number, label: string): number {
    const to = this.#labels.get(label);
    if (to === undefined) throw new RangeError(`no label ${label}`);
    return to - from - 1;
  }
}
