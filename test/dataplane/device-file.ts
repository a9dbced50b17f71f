/**
 * A file in place of a TUN or TAP: what the data path writes to it is read back, and super-packets
 * are cut by the oracle.
 * @module
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkIpv4Exact } from '../../src/wire/classify.ts';
import {
  getIpv4HeaderBytes,
  getIpv4TotalBytes,
  isIpv4ChecksumRight,
  isIpv4Fragment,
} from '../../src/wire/ipv4.ts';
import {
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
} from '../../src/wire/virtio-net.ts';
import { viewOf } from '../vectors/hex.ts';
import { cut, essence } from './oracle.ts';

const VNET_BYTES = 10;

export class DeviceFile {
  readonly fd: number;
  readonly #folder: string;
  readonly path: string;
  readonly #vnet: boolean;
  readonly #innerHeaderBytes: number;

  /** @param innerHeaderBytes 14 for a TAP, 0 for a TUN */
  constructor(vnet: boolean, innerHeaderBytes: number) {
    this.#folder = mkdtempSync(join(tmpdir(), 'fanway-device-'));
    this.path = join(this.#folder, 'device');
    this.#vnet = vnet;
    this.#innerHeaderBytes = innerHeaderBytes;
    writeFileSync(this.path, '');
    // Append mode: each write lands at the end also after the file was emptied.
    this.fd = openSync(this.path, 'a');
  }

  /** Forgets what was written. */
  empty(): void {
    writeFileSync(this.path, '');
  }

  close(): void {
    closeSync(this.fd);
    rmSync(this.#folder, { recursive: true });
  }

  /**
   * The IPv4 packets that a kernel would make of what was written since {@link empty}. ARP and
   * the like must not be among them. Throws an Error that names what a kernel would not accept.
   */
  packets(): Uint8Array[] {
    const file = readFileSync(this.path);
    const packets: Uint8Array[] = [];
    const vnetBytes = this.#vnet ? VNET_BYTES : 0;
    for (let at = 0; at < file.length; ) {
      const l3 = at + vnetBytes + this.#innerHeaderBytes;
      const view = new DataView(file.buffer, file.byteOffset + at);
      const bytes = getIpv4TotalBytes(viewOf(file), l3);
      const whole = file.subarray(l3, l3 + bytes);
      if (checkIpv4Exact(viewOf(whole), 0, whole.length) !== 0)
        throw new Error('a length that lies');
      if (!isIpv4ChecksumRight(viewOf(whole), 0)) throw new Error('a wrong header checksum');
      const type = this.#vnet ? getVirtioGsoType(view, 0) : VIRTIO_GSO_NONE;
      if (type === VIRTIO_GSO_NONE) {
        packets.push(whole);
      } else {
        const wanted = whole[9] === 6 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_UDP_L4;
        if (type !== wanted) throw new Error(`GSO type ${type} for protocol ${whole[9]}`);
        if ((getVirtioFlags(view, 0) & VIRTIO_NEEDS_CSUM) === 0) throw new Error('no NEEDS_CSUM');
        packets.push(...cut(whole, getVirtioGsoBytes(view, 0)));
      }
      at = l3 + bytes;
    }
    return packets;
  }
}

/** Packets by flow, in order, without what may change on the way. */
export function byFlow(packets: readonly Uint8Array[]): Record<string, string[]> {
  const flows: Record<string, string[]> = {};
  for (const bytes of packets) {
    const view = viewOf(bytes);
    const l4 = getIpv4HeaderBytes(view, 0);
    // What is too short for its transport header belongs to no flow and may overtake.
    const headBytes = bytes[9] === 6 ? 20 : 8;
    const whole = l4 + headBytes <= bytes.length && !isIpv4Fragment(view, 0);
    const ports = whole ? view.getUint32(l4) : 0;
    const key = [view.getUint32(12), view.getUint32(16), bytes[9], ports].join();
    const list = flows[key] ?? [];
    list.push(essence(bytes));
    flows[key] = list;
  }
  return flows;
}

/** Where two sets of flows part, in words; '' when every flow has the same packets in order. */
export function difference(
  met: Record<string, string[]>,
  wanted: Record<string, string[]>,
): string {
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(met)])) {
    const [a = [], b = []] = [met[key], wanted[key]];
    for (let index = 0; index < Math.max(a.length, b.length); index++) {
      const [one = '', other = ''] = [a[index], b[index]];
      if (one === other) continue;
      const at = [...one].findIndex((digit, place) => digit !== other[place]);
      const near = (hex: string): string => `${hex.length / 2} bytes ${hex.slice(0, 160)}`;
      return `flow ${key}, packet ${index} of ${b.length}, byte ${at >> 1}:\n met ${near(one)}\n for ${near(other)}`;
    }
  }
  return '';
}
