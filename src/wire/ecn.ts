/**
 * ECN and DSCP across a tunnel: RFC 6040 (RFC 9601 for shim headers such as VXLAN) and RFC 2983.
 *
 * The 16 decapsulation cells are written as the table of RFC 6040 §4.2, figure 4, and packed into
 * one word at load, so that the hot path does one shift and no array access.
 * @module
 */

/** Codepoints of the two low bits of the TOS byte or traffic class (RFC 3168 §5). */
export const ECN_NOT_ECT = 0;
export const ECN_ECT1 = 1;
export const ECN_ECT0 = 2;
export const ECN_CE = 3;
export const ECN_MASK = 3;
export const DSCP_MASK = 0xfc;

/** How much a cell says about a broken or hostile path (RFC 6040 §4.2). */
export const EcnAlarm = { None: 0, Log: 1, Alarm: 2 } as const;
export type EcnAlarm = (typeof EcnAlarm)[keyof typeof EcnAlarm];

/** One combination of inner and outer codepoint on arrival. */
export type EcnCell = {
  readonly inner: number;
  readonly outer: number;
  /** The inner packet's codepoint after decapsulation; meaningless where `drop` is set. */
  readonly result: number;
  readonly drop: boolean;
  readonly alarm: EcnAlarm;
  /** Stable name of the cell's counter, inner first: `ecn.ect0_ce`. */
  readonly name: string;
};

const { None, Log, Alarm } = EcnAlarm;
const [N, T1, T0, CE] = [ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE];
const NAMES = ['not_ect', 'ect1', 'ect0', 'ce'] as const;

// RFC 6040 §4.2, figure 4: [inner, outer, result, alarm, drop].
const FIGURE_4: readonly (readonly [number, number, number, EcnAlarm, boolean])[] = [
  [N, N, N, None, false],
  [N, T0, N, Alarm, false],
  [N, T1, N, Alarm, false],
  [N, CE, N, Alarm, true],
  [T0, N, T0, None, false],
  [T0, T0, T0, None, false],
  [T0, T1, T1, None, false],
  [T0, CE, CE, None, false],
  [T1, N, T1, None, false],
  [T1, T0, T1, Log, false],
  [T1, T1, T1, None, false],
  [T1, CE, CE, None, false],
  [CE, N, CE, None, false],
  [CE, T0, CE, None, false],
  [CE, T1, CE, Alarm, false],
  [CE, CE, CE, None, false],
];

/** The number of a cell, 0 to 15: inner codepoint above outer codepoint. */
export function ecnCell(inner: number, outer: number): number {
  return ((inner & ECN_MASK) << 2) | (outer & ECN_MASK);
}

/** All cells, at the index {@link ecnCell} gives. */
export const ECN_CELLS: readonly EcnCell[] = FIGURE_4.map(
  ([inner, outer, result, alarm, drop]): EcnCell => ({
    inner,
    outer,
    result,
    drop,
    alarm,
    name: `ecn.${NAMES[inner]}_${NAMES[outer]}`,
  }),
).sort((a, b) => ecnCell(a.inner, a.outer) - ecnCell(b.inner, b.outer));

/** Packs two bits of every cell into one 32-bit word. */
function pack(bits: (cell: EcnCell) => number): number {
  return ECN_CELLS.reduce((word, cell, index) => word | (bits(cell) << (index * 2)), 0);
}

const RESULT_WORD = pack((cell) => cell.result);
const ALARM_WORD = pack((cell) => cell.alarm);

/** The one cell that must drop: an inner sender that cannot be told of congestion. */
export const ECN_DROP_CELL = ecnCell(ECN_NOT_ECT, ECN_CE);

/** The inner codepoint after decapsulation. Ask {@link isEcnDrop} first. */
export function ecnResult(cell: number): number {
  return (RESULT_WORD >>> (cell << 1)) & ECN_MASK;
}

/** 0 nothing, 1 log, 2 log and alarm. */
export function ecnAlarm(cell: number): number {
  return (ALARM_WORD >>> (cell << 1)) & 3;
}

/** True when the packet must be dropped (RFC 6040 §4.2: Not-ECT inside, CE outside). */
export function isEcnDrop(cell: number): boolean {
  return cell === ECN_DROP_CELL;
}

/**
 * The outer codepoint on encapsulation, normal mode (RFC 6040 §4.1): a copy, CE included.
 */
export function encapsulateEcn(inner: number): number {
  return inner & ECN_MASK;
}

/**
 * What the DSCP does (RFC 2983 §3): `pipe` gives the outer header a value of its own and leaves
 * the inner one alone; `uniform` copies it both ways.
 */
export const DscpMode = { Pipe: 0, Uniform: 1 } as const;
export type DscpMode = (typeof DscpMode)[keyof typeof DscpMode];

/**
 * The whole outer TOS byte on encapsulation.
 * @param tos the inner TOS byte or traffic class
 * @param pipeDscp the tunnel's own DSCP, already in bits 7 to 2; used in pipe mode only
 */
export function encapsulateTos(mode: DscpMode, tos: number, pipeDscp = 0): number {
  return ((mode === DscpMode.Uniform ? tos : pipeDscp) & DSCP_MASK) | (tos & ECN_MASK);
}

/**
 * The whole inner TOS byte on decapsulation. DSCP and ECN are decided apart from each other.
 * Ask {@link isEcnDrop} for the cell first.
 */
export function decapsulateTos(mode: DscpMode, innerTos: number, outerTos: number): number {
  const dscp = (mode === DscpMode.Uniform ? outerTos : innerTos) & DSCP_MASK;
  return dscp | ecnResult(ecnCell(innerTos, outerTos));
}
