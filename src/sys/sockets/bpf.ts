/**
 * Classic BPF programs on sockets: what the kernel throws away before it wakes anybody.
 * @module
 */
import { SO_ATTACH_FILTER, SOL_SOCKET } from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';

/** One instruction: code, jump if true, jump if false, constant. */
export type BpfInstruction = readonly [number, number, number, number];

/** Instruction codes of linux/bpf_common.h, as far as we use them. */
export const BPF = {
  LOAD_LENGTH: 0x80,
  LOAD_WORD: 0x20,
  LOAD_WORD_AT_X: 0x40,
  LOAD_HALF: 0x28,
  LOAD_BYTE: 0x30,
  LOAD_BYTE_AT_X: 0x50,
  LOAD_CONSTANT: 0x00,
  LOAD_CONSTANT_TO_X: 0x01,
  COPY_TO_X: 0x07,
  AND: 0x54,
  XOR_X: 0xac,
  MODULO: 0x94,
  JUMP: 0x05,
  JUMP_GREATER_EQUAL: 0x35,
  JUMP_EQUAL: 0x15,
  RETURN: 0x06,
} as const;

/** Keeps the whole packet. */
export const BPF_ACCEPT = 0x4_0000;
/**
 * linux/filter.h, SKF_AD_OFF + SKF_AD_NLATTR: a load from here finds, from offset A on, the netlink
 * attribute whose type is X, and gives its offset, or 0.
 */
export const BPF_NETLINK_ATTRIBUTE = 0xffff_f000 + 12;

/** Attaches a program, in place of the one before: `struct sock_fprog` {count u16, pointer}. */
export function attachFilter(fd: number, instructions: readonly BpfInstruction[]): void {
  const program = Buffer.alloc(instructions.length * 8);
  for (const [i, [code, jumpTrue, jumpFalse, constant]] of instructions.entries()) {
    program.writeUInt16LE(code, i * 8);
    program.writeUInt8(jumpTrue, i * 8 + 2);
    program.writeUInt8(jumpFalse, i * 8 + 3);
    program.writeUInt32LE(constant, i * 8 + 4);
  }
  const descriptor = Buffer.alloc(16);
  descriptor.writeUInt16LE(instructions.length, 0);
  descriptor.writeBigUInt64LE(BigInt(addressOf(program)), 8);
  check(
    'setsockopt SO_ATTACH_FILTER',
    libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, addressOf(descriptor), 16),
  );
}
