/**
 * What a data process has learned of the paths to its peers, as rows in shared memory: it writes
 * them, control shows them. A row's number is the peer's slot in the writer's own table, so a peer
 * that is forgotten there frees its row here.
 *
 * ```
 * 0   u32 family, 0 = nobody   8   i32 errno of the refused segmentation
 * 4   u16 path MTU, 0 = none   12  u32 ICMP "port unreachable" from the peer
 * 6   u8  where the MTU is from   16  f64 when the MTU was lowered, ms since 1970
 * 7   u8  segmentation         24  f64 when segmentation was first refused
 * 40  f64 when a large packet    32  f64 when the last port unreachable came
 *         was on its way to it   48  16 bytes of address, IPv4 in the first four
 * 64  f64 when a packet was sent to it, kept where a link has several underlays
 * ```
 *
 * Each field is one store. A reader may see one field of a change before another, which a status
 * can bear; nothing is decided by these rows.
 * @module
 */
import { hostOfBytes, type UnderlayAddress } from '../net/underlay-address.ts';
import { PATH_BYTES, PATHS_MAX } from '../shm/path-rows.ts';

/** Who says what a path's MTU is. Append only. */
export const MtuSource = { None: 0, Icmp: 1, Route: 2, Send: 3, Member: 4, Probe: 5 } as const;
export type MtuSourceCode = (typeof MtuSource)[keyof typeof MtuSource];
/**
 * The same in public words: ICMP, the route (or IPsec under it), a send that the kernel refused, the
 * peer itself by gossip, echo requests.
 */
export const MTU_SOURCE_NAMES = ['', 'icmp', 'route', 'send', 'member', 'probe'] as const;

/** Whether trains to a peer go out as one send. */
export const Segmentation = { Unknown: 0, Works: 1, Refused: 2 } as const;

const FAMILY = 0;
const MTU = 4;
const MTU_SOURCE = 6;
const SEGMENTATION = 7;
const SEGMENT_ERRNO = 8;
const UNREACHABLE_COUNT = 12;
const MTU_SINCE = 16;
const REFUSED_SINCE = 24;
const UNREACHABLE_AT = 32;
const LARGE_AT = 40;
const ADDRESS = 48;
const USED_AT = 64;

/** The data process's side. Times are ms since 1970, 0 = never. */
export class PathRows {
  readonly #view: DataView;

  /** @param view of {@link PATHS_MAX} rows; memory of its own where nobody reads along */
  constructor(view: DataView = new DataView(new ArrayBuffer(PATHS_MAX * PATH_BYTES))) {
    this.#view = view;
  }

  /** Empties every row: a successor begins with no knowledge. */
  clear(): void {
    for (let row = 0; row < PATHS_MAX; row++) {
      if (this.#view.getUint32(row * PATH_BYTES + FAMILY, true) !== 0) this.forget(row);
    }
  }

  forget(row: number): void {
    for (let at = 0; at < PATH_BYTES; at += 4) {
      this.#view.setUint32(row * PATH_BYTES + at, 0, true);
    }
  }

  /** The row is about the host of the address at `from` in `bytes`, of 4 or 16 bytes, from now on. */
  own(row: number, bytes: DataView, from: number, length: 4 | 16): void {
    const at = row * PATH_BYTES;
    if (this.#view.getUint32(at + FAMILY, true) !== 0) return;
    for (let i = 0; i < length; i += 4) {
      this.#view.setUint32(at + ADDRESS + i, bytes.getUint32(from + i));
    }
    this.#view.setUint32(at + FAMILY, length === 16 ? 6 : 4, true);
  }

  setMtu(row: number, mtu: number, source: MtuSourceCode, sinceMs: number): void {
    const at = row * PATH_BYTES;
    const isNews = this.#view.getUint16(at + MTU, true) !== mtu;
    this.#view.setUint16(at + MTU, mtu, true);
    this.#view.setUint8(at + MTU_SOURCE, source);
    if (isNews) this.#view.setFloat64(at + MTU_SINCE, sinceMs, true);
  }

  /** Large packets go to the peer; told now and then while they do. */
  setLarge(row: number, nowMs: number): void {
    const at = row * PATH_BYTES;
    this.#view.setFloat64(at + LARGE_AT, nowMs, true);
  }

  /** Packets go to the peer, by whichever underlay; told now and then while they do. */
  setUsed(row: number, nowMs: number): void {
    this.#view.setFloat64(row * PATH_BYTES + USED_AT, nowMs, true);
  }

  setSegmentationWorks(row: number): void {
    const at = row * PATH_BYTES;
    this.#view.setUint8(at + SEGMENTATION, Segmentation.Works);
    this.#view.setInt32(at + SEGMENT_ERRNO, 0, true);
  }

  /** A refusal after another one keeps the first one's time. */
  setSegmentationRefused(row: number, errno: number, nowMs: number): void {
    const at = row * PATH_BYTES;
    if (this.#view.getUint8(at + SEGMENTATION) !== Segmentation.Refused) {
      this.#view.setFloat64(at + REFUSED_SINCE, nowMs, true);
    }
    this.#view.setUint8(at + SEGMENTATION, Segmentation.Refused);
    this.#view.setInt32(at + SEGMENT_ERRNO, errno, true);
  }

  addPortUnreachable(row: number, nowMs: number): void {
    const at = row * PATH_BYTES;
    const count = this.#view.getUint32(at + UNREACHABLE_COUNT, true);
    if (count < 0xffffffff) this.#view.setUint32(at + UNREACHABLE_COUNT, count + 1, true);
    this.#view.setFloat64(at + UNREACHABLE_AT, nowMs, true);
  }
}

/** One peer's row. MTUs are outer IP packets in bytes. */
export type PathRecord = {
  peer: UnderlayAddress;
  /** 0 = nothing lowers it. */
  mtu: number;
  mtuSource: number;
  mtuSinceMs: number;
  segmentation: number;
  /** Errno of the refusal, 0 = none. */
  segmentErrno: number;
  refusedSinceMs: number;
  portUnreachable: number;
  portUnreachableAtMs: number;
  /** When a large packet was last known to be on its way there. */
  largeAtMs: number;
  /** When a packet was last sent to it, by whichever underlay; 0 on links that have one. */
  usedAtMs: number;
};

/** Control's side: every row in use, as far as a field at a time is consistent. */
export function readPaths(view: DataView): PathRecord[] {
  const records: PathRecord[] = [];
  for (let at = 0; at < PATHS_MAX * PATH_BYTES; at += PATH_BYTES) {
    const family = view.getUint32(at + FAMILY, true);
    if (family === 0) continue;
    const bytes = new Uint8Array(
      view.buffer,
      view.byteOffset + at + ADDRESS,
      family === 6 ? 16 : 4,
    );
    records.push({
      // A copy: the row may be another's in the next moment.
      peer: hostOfBytes(Uint8Array.from(bytes)),
      mtu: view.getUint16(at + MTU, true),
      mtuSource: view.getUint8(at + MTU_SOURCE),
      mtuSinceMs: view.getFloat64(at + MTU_SINCE, true),
      segmentation: view.getUint8(at + SEGMENTATION),
      segmentErrno: view.getInt32(at + SEGMENT_ERRNO, true),
      refusedSinceMs: view.getFloat64(at + REFUSED_SINCE, true),
      portUnreachable: view.getUint32(at + UNREACHABLE_COUNT, true),
      portUnreachableAtMs: view.getFloat64(at + UNREACHABLE_AT, true),
      largeAtMs: view.getFloat64(at + LARGE_AT, true),
      usedAtMs: view.getFloat64(at + USED_AT, true),
    });
  }
  return records;
}
