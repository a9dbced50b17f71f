/**
 * The maps of one fan of the kernel's data path, as control reads and writes them.
 * @module
 */
import { FAN_MAPS, PREFIX_KEY_BYTES, PREFIX6_KEY_BYTES } from '../../../bpf/fan-path.ts';
import {
  familyOf,
  hostBytes,
  hostOfBytes,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import { deleteFromMap } from '../../../sys/bpf/bpf.ts';
import { keysOf, LinkMaps, macKey, openMaps, writeRow } from './maps.ts';

type FanMapName = keyof typeof FAN_MAPS;
const NAMES: readonly FanMapName[] = [
  ...(['counters', 'entries', 'entries6', 'homes', 'localMacs'] as const),
  ...(['stations', 'bypass', 'events', 'told', 'limits'] as const),
];

function prefixKey({ address, length }: UnderlayPrefix): Buffer<ArrayBuffer> {
  const length32 = Buffer.alloc(4);
  length32.writeUInt32LE(length);
  return Buffer.concat([length32, hostBytes(address)]);
}

export class FanLinkMaps extends LinkMaps<FanMapName> {
  /** Those of a program that is attached, or new ones where there is none or another one. @throws SystemError */
  static open(program: number): FanLinkMaps {
    return new FanLinkMaps(openMaps(FAN_MAPS, NAMES, program));
  }

  /** False where there is no room for it. @throws SystemError */
  setEntry(prefix: UnderlayPrefix, host: number): boolean {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(host);
    return writeRow(this.#entriesOf(prefix), prefixKey(prefix), value);
  }

  #entriesOf({ address }: UnderlayPrefix): number {
    return familyOf(address) === 4 ? this.fds.entries : this.fds.entries6;
  }

  deleteEntry(prefix: UnderlayPrefix): void {
    deleteFromMap(this.#entriesOf(prefix), prefixKey(prefix));
  }

  /** Every prefix that has an entry. */
  entries(): UnderlayPrefix[] {
    return [
      ...this.#prefixesIn(this.fds.entries, PREFIX_KEY_BYTES),
      ...this.#prefixesIn(this.fds.entries6, PREFIX6_KEY_BYTES),
    ];
  }

  #prefixesIn(map: number, keyBytes: number): UnderlayPrefix[] {
    return [...keysOf(map, keyBytes, FAN_MAPS.entries.entriesMax)].map((key) => {
      return { address: hostOfBytes(key.subarray(4)), length: key.readUInt32LE(0) };
    });
  }

  /** A MAC is not behind a port of this host any more. */
  forgetMac(mac: number): void {
    deleteFromMap(this.fds.localMacs, macKey(mac));
  }
}
