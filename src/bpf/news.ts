/**
 * What the programs of a link tell control: records of table/events.ts in a ring that never waits. The
 * same is told once a second, and only so much of it, so that a flood fills neither the ring nor anybody's time
 * but its own; what found no room is counted as lost.
 * @module
 */
import { COUNTERS_PER_LINK, eventIndex } from '../table/counters.ts';
import { EVENT, EVENT_BYTES, type EventKind, LENGTH_SHIFT } from '../table/events.ts';
import { type Assembler, reg } from './assembler.ts';
import { MapType, Register, TC_SHOT } from './instructions.ts';
import { STACK } from './link-program.ts';

const { R0, R1, R2, R3, R4, R8, R9, FP } = Register;

/** A second, nearly: 2^30 ns. */
const SECOND_SHIFT = 30;
/** The same is told again after so long, ns. */
const AGAIN_NS = 1_000_000_000;
const NS_PER_SECOND = 1_000_000_000;
/** Records a second: of drops for one reason, and of all else. */
const DROPS_PER_SECOND = 8;
const NEWS_PER_SECOND = 1000;
/** Place of what is no drop among the limits. */
const NEWS = 0;
const MAC_BYTES = 6;
const LOST = eventIndex('events_lost');
const LIMITED = eventIndex('events_limited');

/** A time of the kernel's monotonic clock, ns. */
const TIME_BYTES = 8;
/** Records take 8 bytes more in the ring; a power of two, and whole pages wherever we run. */
const RING_BYTES = 1 << 16;

/** A value of {@link NEWS_MAPS.limits}: which second it was, u64, and how much was told in it, u64. */
export const LIMIT = { second: 0, count: 8 } as const;

/**
 * - `events`: the records, for whoever reads them next;
 * - `told`: when each was told last; the one that was not for longest gives way;
 * - `limits`: how much was told lately, by counter for drops, all else in the first; of what control alone
 *   counts, how often it was.
 */
export const NEWS_MAPS = {
  events: {
    name: 'fanway_event1',
    type: MapType.RingBuffer,
    keyBytes: 0,
    valueBytes: 0,
    entriesMax: RING_BYTES,
    flags: 0,
  },
  told: {
    name: 'fanway_told1',
    type: MapType.LruHash,
    keyBytes: EVENT_BYTES,
    valueBytes: TIME_BYTES,
    entriesMax: 4096,
    flags: 0,
  },
  limits: {
    name: 'fanway_limit1',
    type: MapType.Array,
    keyBytes: 4,
    valueBytes: 16,
    entriesMax: COUNTERS_PER_LINK,
    flags: 0,
  },
} as const;

/** Descriptors of them. */
export type NewsMaps = { readonly [Name in keyof typeof NEWS_MAPS]: number };

/** A program that tells; its counters are at R7. */
type Teller = {
  readonly asm: Assembler;
  readonly maps: NewsMaps;
  tail(name: string, write: () => void, isLast?: boolean): string;
  count(index: number): void;
  /** Where packets go on that are told of and do not end, by the verdict that stands for it. */
  readonly goesOn?: ReadonlyMap<number, string>;
};

/** What a record is about; places are on the stack. */
export type Subject = {
  kind: EventKind;
  detail?: number;
  /** Where its MAC is, at an even place. */
  mac?: number;
  /** Where its address is, in network order, at an even place. */
  address?: { at: number; bytes: 4 | 16 };
  /** It is about the host in R9. */
  host?: true;
};

/** Has the record on the stack. Loses R1. */
export function writeNews(asm: Assembler, { kind, detail = 0, mac, address, host }: Subject): void {
  const record = STACK.record;
  const bytes = host === true ? 4 : (address?.bytes ?? 0);
  for (let at = 0; at < EVENT_BYTES; at += 8) asm.store(8, FP, record + at, 0);
  asm.store(2, FP, record + EVENT.kind, kind);
  asm.store(4, FP, record + EVENT.detail, detail | (bytes << LENGTH_SHIFT));
  if (mac !== undefined) {
    // Two numbers, of which a MAC is not aligned for the second.
    asm
      .load(2, R1, FP, mac)
      .fromNetwork(R1, 16)
      .store(2, FP, record + EVENT.macHigh, reg(R1));
    for (let i = 2; i < MAC_BYTES; i += 2) {
      asm.load(2, R1, FP, mac + i).fromNetwork(R1, 16);
      asm.store(2, FP, record + EVENT.macLow + 4 - i, reg(R1));
    }
  }
  if (address !== undefined) {
    for (let i = 0; i < address.bytes; i += 2) {
      asm.load(2, R1, FP, address.at + i).store(2, FP, record + EVENT.address + i, reg(R1));
    }
  }
  if (host === true) {
    asm
      .move(R1, reg(R9))
      .fromNetwork(R1, 32)
      .store(4, FP, record + EVENT.address, reg(R1));
  }
}

/** The packet ends with a verdict once control is told what is in the record, if that is due (again). */
export function endTold(program: Teller, verdict: number, place = NEWS, againNs = AGAIN_NS): void {
  const news = program.tail(`news.${againNs}`, () => tell(program, againNs), true);
  program.asm.move(R8, place).move(R9, verdict).jump(news);
}

/** Where a packet ends that is dropped and counted, and told of. */
export function dropTold(program: Teller, index: number, subject: Subject): string {
  const { mac, address, kind } = subject;
  return program.tail(`${index}.${kind}.${mac ?? 0}.${address?.at ?? 0}`, () => {
    program.count(index);
    writeNews(program.asm, subject);
    endTold(program, TC_SHOT);
  });
}

/** Tells what is in the record, R8 the place of its limit; ends with R9. */
function tell(program: Teller, againNs: number): void {
  const { asm, maps } = program;
  const [due, room, same] = [asm.fresh('due'), asm.fresh('room'), asm.fresh('same')];
  const [drops, may] = [asm.fresh('drops'), asm.fresh('may')];
  const [limited, lost, end] = [asm.fresh('limited'), asm.fresh('lost'), asm.fresh('told')];
  asm.call('ktimeCoarseNs').store(8, FP, STACK.time, reg(R0));
  find(asm, maps.told, STACK.record);
  asm.jumpIf(R0, 'equal', 0, due);
  // Another processor may have told it since this one read the clock: then the difference is huge.
  asm.load(8, R1, R0, 0).load(8, R2, FP, STACK.time).alu('sub', R2, reg(R1));
  asm.move(R1, againNs / NS_PER_SECOND).alu('multiply', R1, NS_PER_SECOND);
  asm.jumpIf(R2, 'below', reg(R1), end);
  asm.label(due).store(4, FP, STACK.scratch, reg(R8));
  find(asm, maps.limits, STACK.scratch);
  asm.jumpIf(R0, 'notEqual', 0, room).jump(end).label(room);
  asm.load(8, R1, FP, STACK.time).alu('shiftRight', R1, SECOND_SHIFT);
  asm.load(8, R2, R0, LIMIT.second).jumpIf(R2, 'equal', reg(R1), same);
  asm.store(8, R0, LIMIT.second, reg(R1)).store(8, R0, LIMIT.count, 0);
  asm.label(same).load(8, R2, R0, LIMIT.count).jumpIf(R8, 'notEqual', NEWS, drops);
  asm.jumpIf(R2, 'aboveOrEqual', NEWS_PER_SECOND, limited).jump(may);
  // The counters say of drops how many there were.
  asm.label(drops).jumpIf(R2, 'aboveOrEqual', DROPS_PER_SECOND, end);
  asm.label(may).alu('add', R2, 1).store(8, R0, LIMIT.count, reg(R2));
  asm.loadMap(R1, maps.told).move(R2, reg(FP)).alu('add', R2, STACK.record);
  asm.move(R3, reg(FP)).alu('add', R3, STACK.time).move(R4, 0).call('mapUpdate');
  asm.loadMap(R1, maps.events).move(R2, reg(FP)).alu('add', R2, STACK.record);
  asm.move(R3, EVENT_BYTES).move(R4, 0).call('ringOutput').jumpIf(R0, 'notEqual', 0, lost);
  asm.jump(end);
  asm.label(limited).move(R8, 1);
  program.count(LIMITED);
  asm.jump(end).label(lost).move(R8, 1);
  program.count(LOST);
  asm.label(end);
  for (const [verdict, label] of program.goesOn ?? []) asm.jumpIf(R9, 'equal', verdict, label);
  asm.move(R0, reg(R9)).exit();
}

/** R0 = the value of a key on the stack, 0 = it has none. Loses R1 to R5. */
function find(asm: Assembler, map: number, key: number): void {
  asm.loadMap(R1, map).move(R2, reg(FP)).alu('add', R2, key).call('mapLookup');
}
