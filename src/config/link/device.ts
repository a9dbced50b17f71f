/**
 * What a link of either kind may be asked for of its device.
 * @module
 */
import { choice, integer, orNull } from '../row/kinds.ts';
import { always, carried } from '../row/row.ts';

/** RFC 791 §3.1: every host must take 576 bytes; below it nothing useful runs. */
export const MTU_BYTES_MIN = 576;
export const MTU_BYTES_MAX = 65535;

/** Bytes of an inner packet; null = from the underlay's MTU. */
export const MTU_ROWS = {
  mtu: always(orNull(integer(MTU_BYTES_MIN, MTU_BYTES_MAX)), null, {
    ...{ key: 'mtu', unit: 'bytes', example: '1450' },
    doc: "Largest inner packet; from the underlay's MTU.",
    help: ['--mtu BYTES', "largest inner packet (default from the underlay's MTU)"],
  }),
} as const;

export const DEVICE_ROWS = {
  offload: carried(
    always(choice(['auto', 'off']), 'auto', {
      key: 'offload',
      doc: 'Use the offloads this machine has, or none.',
      help: ['--offload auto|off', 'use what offloads this machine has, or none (default auto)'],
    }),
  ),
} as const;
