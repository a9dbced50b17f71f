/**
 * The numbers of eBPF: registers, operation codes, helpers and what a program of tc sees of a packet
 * (RFC 9669; linux/bpf.h).
 * @module
 */

/** R0 result, R1 to R5 arguments (lost by a call), R6 to R9 kept, R10 the top of the stack. */
export const Register = {
  R0: 0,
  R1: 1,
  R2: 2,
  R3: 3,
  R4: 4,
  R5: 5,
  R6: 6,
  R7: 7,
  R8: 8,
  R9: 9,
  FP: 10,
} as const;
export type Register = (typeof Register)[keyof typeof Register];

/** Bytes of memory that one load or store moves, as the size bits of an operation code. */
export const SIZE_BITS = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 } as const;
export type Size = keyof typeof SIZE_BITS;

export const ALU = {
  add: 0x00,
  sub: 0x10,
  multiply: 0x20,
  or: 0x40,
  and: 0x50,
  shiftLeft: 0x60,
  shiftRight: 0x70,
  xor: 0xa0,
  move: 0xb0,
} as const;
export type AluOperation = keyof typeof ALU;

/** Comparisons; all of them without sign. */
export const JUMP = {
  equal: 0x10,
  above: 0x20,
  aboveOrEqual: 0x30,
  anyBit: 0x40,
  notEqual: 0x50,
  below: 0xa0,
  belowOrEqual: 0xb0,
} as const;
export type Comparison = keyof typeof JUMP;

/** Classes and modes of operation codes. */
export const CLASS = {
  loadImmediate: 0x00,
  load: 0x01,
  storeImmediate: 0x02,
  store: 0x03,
  alu32: 0x04,
  jump: 0x05,
  jump32: 0x06,
  alu64: 0x07,
} as const;
export const MODE_MEMORY = 0x60;
/** The second operand is a register, not a constant. */
export const SOURCE_REGISTER = 0x08;
export const OP_CALL = 0x85;
export const OP_EXIT = 0x95;
export const OP_JUMP_ALWAYS = 0x05;
export const OP_LOAD_IMMEDIATE_64 = 0x18;
export const OP_TO_BIG_ENDIAN = 0xdc;
/** Source of a 64-bit constant: it is a descriptor of a map. */
export const PSEUDO_MAP_FD = 1;
/** The same: it is the address of the first value of the array behind a descriptor (Linux 5.2). */
export const PSEUDO_MAP_VALUE = 2;

/** Source of a call: not a helper by its number, but a function of the kernel by that of its type. */
export const PSEUDO_KERNEL_FUNCTION = 2;

/** Kinds of map. */
export const MapType = {
  Hash: 1,
  Array: 2,
  PerCpuArray: 6,
  LruHash: 9,
  LpmTrie: 11,
  RingBuffer: 27,
} as const;

/** Kernel functions that programs call, by number. */
export const Helper = {
  mapLookup: 1,
  mapUpdate: 2,
  skbStoreBytes: 9,
  l3ChecksumReplace: 10,
  cloneRedirect: 13,
  getTunnelKey: 20,
  setTunnelKey: 21,
  redirect: 23,
  skbLoadBytes: 26,
  checksumDifference: 28,
  /** Of the packet's flow. */
  hash: 34,
  skbChangeTail: 38,
  adjustRoom: 50,
  /** For programs that may be had by the terms of the GPL. */
  fibLookup: 69,
  /** Copies a record into a ring buffer (Linux 5.8). */
  ringOutput: 130,
  /** Out of a device to a next hop, whose MAC the kernel knows or asks for (Linux 5.10). */
  redirectNeighbour: 152,
  /** Into the device at the other end of a veth, in its network namespace (Linux 5.10). */
  redirectPeer: 155,
  /** The time of the last tick: no clock is read (Linux 5.11). */
  ktimeCoarseNs: 160,
} as const;
export type HelperName = keyof typeof Helper;

/** Offsets in `struct __sk_buff`, bytes. */
export const SKB = {
  length: 0,
  vlanPresent: 20,
  deviceIndex: 40,
  /** The first of five words that are free for who handles the packet. */
  note: 48,
  data: 76,
  dataEnd: 80,
  gsoSegments: 164,
  gsoSize: 176,
} as const;

/** Verdicts of a program that acts directly (linux/pkt_cls.h); `NEXT`: let whoever is behind it say. */
export const TC_NEXT = -1;
export const TC_OK = 0;
export const TC_SHOT = 2;
/** Flag of {@link Helper.redirect}: into the device, as if it came in there. */
export const REDIRECT_INGRESS = 1;

/** `struct bpf_tunnel_key` of Linux 6.0 and later, which has the local address too. */
export const TUNNEL_KEY = {
  vni: 0,
  remoteIpv4: 4,
  tos: 20,
  ttl: 21,
  localIpv4: 28,
} as const;
export const TUNNEL_KEY_BYTES = 44;
/** Flags of {@link Helper.setTunnelKey}. */
export const TUNNEL_DONT_FRAGMENT = 4;

/**
 * Room behind the MAC header, flags of {@link Helper.adjustRoom}: for headers of IPv4 and UDP and, by its length in
 * the topmost byte, a frame's (Linux 5.14). Segments stay as long as they are, and no sum is forgotten.
 */
export const ADJUST = { behindMac: 1, vxlan: 1 | 2 | 16 | 32 | 64, innerBytesShift: 56 } as const;

/** `struct bpf_fib_lookup`; bytes and device in the order of this machine. */
export const FIB = {
  family: 0,
  protocol: 1,
  bytes: 6,
  device: 8,
  tos: 12,
  source: 16,
  destination: 32,
} as const;
export const FIB_BYTES = 64;
/** The route alone is asked for, not its next hop's MAC (Linux 6.3). */
export const FIB_SKIP_NEIGHBOUR = 8;
