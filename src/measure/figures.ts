/**
 * What is measured, under which names, and how the rounds come down to one figure for each way.
 * @module
 */
import type { Way } from './protocol.ts';
import { type Spread, spreadOf } from './statistics.ts';

export type FigureKey =
  | 'tcp1'
  | 'tcp4'
  | 'tcpReverse'
  | 'udp'
  | 'idleP50'
  | 'idleP99'
  | 'loadedP50'
  | 'loadedP99'
  | 'mtu';

export type FigureRow = {
  key: FigureKey;
  title: string;
  unit: string;
  better: 'more' | 'less';
  chart: 'throughput' | 'packets' | 'latency' | 'mtu';
};

const gbps = { unit: 'Gb/s', better: 'more', chart: 'throughput' } as const;
const us = { unit: 'us', better: 'less', chart: 'latency' } as const;

/** In the order of the table. */
export const figureRows: readonly FigureRow[] = [
  { key: 'tcp1', title: 'TCP, 1 stream ->', ...gbps },
  { key: 'tcp4', title: 'TCP, 4 streams ->', ...gbps },
  { key: 'tcpReverse', title: 'TCP, 1 stream <-', ...gbps },
  {
    key: 'udp',
    title: '64-byte UDP, < 1 % loss ->',
    unit: 'packets/s',
    better: 'more',
    chart: 'packets',
  },
  { key: 'idleP50', title: 'round trip, idle, half below', ...us },
  { key: 'idleP99', title: 'round trip, idle, 99 % below', ...us },
  { key: 'loadedP50', title: 'round trip, TCP ->, half below', ...us },
  { key: 'loadedP99', title: 'round trip, TCP ->, 99 % below', ...us },
  {
    key: 'mtu',
    title: 'largest packet, unfragmented',
    unit: 'bytes',
    better: 'more',
    chart: 'mtu',
  },
];

/** One value a round. */
export class Samples {
  readonly #values = new Map<string, number[]>();

  add(key: FigureKey, way: Way, value: number): void {
    const at = `${key} ${way}`;
    const values = this.#values.get(at) ?? [];
    values.push(value);
    this.#values.set(at, values);
  }

  /** Undefined when it could not be measured. */
  spread(key: FigureKey, way: Way): Spread | undefined {
    return spreadOf(this.#values.get(`${key} ${way}`) ?? []);
  }
}
