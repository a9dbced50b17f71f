/**
 * Who could be reached by whom, and since when: the simulator's own knowledge, against which it is
 * judged whether a death was a false one.
 * @module
 */
import type { Host } from './host.ts';
import type { ImpairedWire } from './wire.ts';

/**
 * A host is *well connected* while its process runs and stays, its processor is its own, and it exchanges
 * datagrams both ways with more than half of the running hosts (itself counted). Two such hosts
 * always have a third between them, so whatever one is accused of it can hear and deny.
 */
export class Connectivity {
  readonly #wire: ImpairedWire;
  readonly #hosts: readonly Host[];
  /** Since when each host is well connected, by index; undefined: it is not. */
  readonly #wellSinceMs: (number | undefined)[] = [];
  /** The same without regard to its processor: who stands still may accuse nobody afterwards. */
  readonly #reachedSinceMs: (number | undefined)[] = [];

  constructor(wire: ImpairedWire, hosts: readonly Host[]) {
    this.#wire = wire;
    this.#hosts = hosts;
  }

  /** To be called after every cut, healing, start, stop and freeze. */
  update(nowMs: number): void {
    const running = this.#hosts.filter(({ isRunning }) => isRunning);
    for (const host of this.#hosts) {
      const isReached = host.isRunning && this.#reaches(host, running);
      const isWell = isReached && host.isAwake && host.speed === 1 && !host.isLeaving;
      const { index } = host;
      this.#reachedSinceMs[index] = isReached ? (this.#reachedSinceMs[index] ?? nowMs) : undefined;
      this.#wellSinceMs[index] = isWell ? (this.#wellSinceMs[index] ?? nowMs) : undefined;
    }
  }

  #reaches(host: Host, running: readonly Host[]): boolean {
    let reached = 0;
    for (const other of running) {
      if (other === host) continue;
      const { index } = host;
      if (this.#wire.isOpen(index, other.index) && this.#wire.isOpen(other.index, index)) {
        reached += 1;
      }
    }
    return reached + 1 > running.length / 2;
  }

  /** How long the host has been well connected; 0 when it is not. */
  wellForMs(host: Host, nowMs: number): number {
    return nowMs - (this.#wellSinceMs[host.index] ?? nowMs);
  }

  reachedForMs(host: Host, nowMs: number): number {
    return nowMs - (this.#reachedSinceMs[host.index] ?? nowMs);
  }
}
