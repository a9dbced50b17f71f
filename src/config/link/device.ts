/**
 * What a link of either kind may be asked for of its device.
 * @module
 */
import { choice, integer, orNull } from '../row/kinds.ts';
import { always, asked, carried } from '../row/row.ts';

/** RFC 791 §3.1: every host must take 576 bytes; below it nothing useful runs. */
export const MTU_BYTES_MIN = 576;
export const MTU_BYTES_MAX = 65535;
/** RFC 8200 §5: below this Linux takes IPv6 off the device. */
export const IPV6_MTU_BYTES_MIN = 1280;

/** Bytes of an inner packet; null = from the underlay's MTU. */
export const MTU_ROWS = {
  mtu: always(orNull(integer(MTU_BYTES_MIN, MTU_BYTES_MAX)), null, {
    ...{ key: 'mtu', unit: 'bytes', example: '1450' },
    doc: "Largest inner packet; from the underlay's MTU.",
    help: ['--mtu BYTES', "largest inner packet (default from the underlay's MTU)"],
  }),
} as const;

/** About a second of small packets; more would be delay and nothing else. */
const DEVICE_QUEUE_PACKETS_MAX = 1_000_000;

export const DEVICE_ROWS = {
  offload: carried(
    always(choice(['auto', 'off']), 'auto', {
      key: 'offload',
      doc: 'Use the offloads this machine has, or none.',
      help: ['--offload auto|off', 'use what offloads this machine has, or none (default auto)'],
    }),
  ),
  /** Absent = as many as outlast a scheduler's turn. */
  deviceQueuePackets: carried(
    asked(integer(1, DEVICE_QUEUE_PACKETS_MAX), {
      ...{ key: 'txqueuelen', unit: 'packets', example: '4096' },
      doc: 'Most packets that wait in the tunnel device before the kernel drops; 4096 unless given.',
      help: ['--txqueuelen N', 'most packets that wait in the tunnel device (default 4096)'],
    }),
  ),
} as const;
