/**
 * Measures paths: the underlay and the tunnel to each of some hosts, side by side, all hosts at once.
 * For a process of its own.
 * @module
 */

import { randomBytes } from 'node:crypto';
import type { LayerReport } from '../../api/test.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { EchoSocket } from '../../sys/sockets/echo-socket.ts';
import { PathProber } from '../plane/paths/path-prober.ts';
import { type Echoed, Echoes } from './echoes.ts';

/** One host. MTUs are bytes. No two targets of one survey may have the same `inside`. */
export type Target = {
  /** Underlay addresses: ours, and the host's. */
  local: UnderlayAddress;
  host: UnderlayAddress;
  /** Overlay addresses: our own, and the one to ask there. */
  gateway: UnderlayAddress;
  inside: UnderlayAddress;
  /** By which device alone what is inside goes, '' = by whatever routes say. */
  device: string;
  underlayMtu: number;
  innerMtu: number;
};

export type Measured = { underlay: LayerReport; tunnel: LayerReport };

export type SurveyOptions = {
  /** Requests to each host by each layer, one after the other. */
  rounds: number;
  intervalMs: number;
  /** Requests in one go, for their order. */
  burst: number;
  /** An answer that takes longer is none. */
  timeoutMs: number;
  /** Look for the largest packet too. */
  mtu: boolean;
  /** Called with what happens, and after each round. */
  step?(text: string, round: number): void;
};

export const SURVEY: SurveyOptions = {
  rounds: 10,
  intervalMs: 50,
  burst: 20,
  timeoutMs: 1000,
  mtu: true,
};

/** IP length of a request: its headers, a token and some filler. */
const REQUEST_BYTES = 84;
const POLL_MS = 20;
/** A path that swallows what is too large takes some six sizes, three tries each. */
const MTU_MS_MAX = 14_000;

type Layer = 'underlay' | 'tunnel';
const LAYERS: readonly Layer[] = ['underlay', 'tunnel'];

function ends(
  target: Target,
  layer: Layer,
): { from: UnderlayAddress; to: UnderlayAddress; mtuMax: number; device: string } {
  return layer === 'underlay'
    ? { from: target.local, to: target.host, mtuMax: target.underlayMtu, device: '' }
    : {
        ...{ from: target.gateway, to: target.inside, mtuMax: target.innerMtu },
        device: target.device,
      };
}

export class Survey {
  readonly #targets: readonly Target[];
  readonly #options: SurveyOptions;
  readonly #echoes = new Map<UnderlayAddress, Echoes>();

  /** @throws SystemError when no echo socket may be opened */
  constructor(targets: readonly Target[], options: SurveyOptions) {
    this.#targets = targets;
    this.#options = options;
    for (const target of targets) {
      for (const layer of LAYERS) {
        const { from, device } = ends(target, layer);
        if (!this.#echoes.has(from)) this.#echoes.set(from, new Echoes(from, device));
      }
    }
  }

  close(): void {
    for (const echoes of this.#echoes.values()) echoes.close();
  }

  /** Measures all; may be asked to end early between rounds. */
  async run(isStopped: () => boolean = () => false): Promise<Measured[]> {
    const { rounds, intervalMs, burst, step } = this.#options;
    step?.('round trips', 0);
    for (let round = 0; round < rounds && !isStopped(); round++) {
      const startMs = performance.now();
      this.#askAll(1, round);
      await this.#waitUntil(() => this.#waiting === 0, startMs + this.#options.timeoutMs);
      step?.('', round + 1);
      if (round + 1 < rounds) await this.#waitUntil(isStopped, startMs + intervalMs);
    }
    const alone = new Map(
      this.#targets.map((target) => [
        target,
        {
          underlay: this.#echoed(target, 'underlay').rttsMs.length,
          tunnel: this.#echoed(target, 'tunnel').rttsMs.length,
        },
      ]),
    );
    if (burst > 0 && !isStopped()) {
      step?.('order', rounds);
      const startMs = performance.now();
      this.#askAll(burst, 0);
      await this.#waitUntil(() => this.#waiting === 0, startMs + this.#options.timeoutMs);
    }
    const sizes = this.#options.mtu && !isStopped() ? await this.#sizes(isStopped) : undefined;
    return this.#targets.map((target) => {
      const layer = (name: Layer): LayerReport =>
        layerReport(
          this.#echoed(target, name),
          // Requests that wait for one another tell nothing of one alone.
          alone.get(target)?.[name] ?? 0,
          sizes?.[name].get(ends(target, name).to) ?? 0,
          ends(target, name).mtuMax,
        );
      return { underlay: layer('underlay'), tunnel: layer('tunnel') };
    });
  }

  #echoed(target: Target, layer: Layer): Echoed {
    const { from, to } = ends(target, layer);
    const echoed = this.#echoes.get(from)?.echoed(to);
    return echoed ?? { sent: 0, received: 0, rttsMs: [], reordered: 0 };
  }

  /** Each layer goes first in every second round. */
  #askAll(times: number, round: number): void {
    const layers = round % 2 === 0 ? LAYERS : LAYERS.toReversed();
    for (const target of this.#targets) {
      for (const layer of layers) {
        const { from, to } = ends(target, layer);
        for (let i = 0; i < times; i++) this.#echoes.get(from)?.ask(to, REQUEST_BYTES);
      }
    }
  }

  get #waiting(): number {
    let waiting = 0;
    for (const echoes of this.#echoes.values()) waiting += echoes.waiting;
    return waiting;
  }

  async #waitUntil(isDone: () => boolean, deadlineMs: number): Promise<void> {
    const all = [...this.#echoes.values()];
    for (;;) {
      for (const echoes of all) echoes.read();
      const leftMs = deadlineMs - performance.now();
      if (isDone() || leftMs <= 0) return;
      EchoSocket.wait(
        all.map(({ socket }) => socket),
        Math.min(POLL_MS, Math.ceil(leftMs)),
      );
      for (const echoes of all) echoes.read();
      // Signals are handled between turns of the event loop only.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The largest packets that are answered, by layer and address. */
  async #sizes(isStopped: () => boolean): Promise<Record<Layer, Map<UnderlayAddress, number>>> {
    this.#options.step?.('largest packets', this.#options.rounds);
    const probers = LAYERS.map((layer) => {
      const wanted = new Map<UnderlayAddress, number>();
      const from = new Map<UnderlayAddress, UnderlayAddress>();
      for (const target of this.#targets) {
        const { from: our, to, mtuMax } = ends(target, layer);
        if (this.#echoed(target, layer).received === 0) continue;
        wanted.set(to, mtuMax);
        from.set(to, our);
      }
      const prober = new PathProber({
        send: (to, bytes, token) =>
          this.#echoes.get(from.get(to) ?? 0)?.send(to, bytes, token) ?? false,
        token: () => randomBytes(8).toString('hex'),
      });
      return { layer, wanted, prober };
    });
    for (const echoes of this.#echoes.values()) {
      echoes.onAnswer = (token) => {
        for (const { prober } of probers) prober.answered(token, performance.now());
      };
    }
    const isDone = (): boolean =>
      isStopped() ||
      probers.every(({ wanted, prober }) =>
        [...wanted.keys()].every((to) => (prober.state(to) ?? 'silent') !== 'searching'),
      );
    const deadlineMs = performance.now() + MTU_MS_MAX;
    do {
      for (const { wanted, prober } of probers) prober.step(wanted, performance.now());
      await this.#waitUntil(() => false, performance.now() + POLL_MS / 4);
    } while (!isDone() && performance.now() < deadlineMs);
    const found = (layer: Layer): Map<UnderlayAddress, number> => {
      const one = probers.find((each) => each.layer === layer);
      const limits = one?.prober.limits();
      return new Map(
        [...(one?.wanted ?? [])].flatMap(([to, mtuMax]) => {
          const state = one?.prober.state(to);
          if (state === 'full') return [[to, mtuMax] as const];
          return state === 'limited' ? [[to, limits?.get(to) ?? 0] as const] : [];
        }),
      );
    };
    return { underlay: found('underlay'), tunnel: found('tunnel') };
  }
}

function layerReport(echoed: Echoed, alone: number, mtu: number, mtuMax: number): LayerReport {
  const { sent, received, rttsMs, reordered } = echoed;
  const times = rttsMs.slice(0, Math.max(1, alone));
  const round = (ms: number): number => Math.round(ms * 1000) / 1000;
  const sum = times.reduce((total, ms) => total + ms, 0);
  return {
    ...{ sent, received, reordered, mtu, mtuMax },
    minMs: times.length === 0 ? null : round(Math.min(...times)),
    avgMs: times.length === 0 ? null : round(sum / times.length),
    maxMs: times.length === 0 ? null : round(Math.max(...times)),
  };
}
