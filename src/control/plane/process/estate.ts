/**
 * What the data processes of a killed predecessor leave to ours: devices and sockets, which are open all
 * along, so that no packet in a queue is lost.
 *
 * Theirs forward on until ours have all of their links; ours then begin with all at once, and only when
 * they read is theirs told to end. Whatever does not fit (another number of queues, a link that was changed
 * meanwhile, another build) is opened anew, once theirs are gone.
 * @module
 */
import { ENCAPS } from '../../../encap/encap.ts';
import type { Log } from '../../../log.ts';
import { hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { type TunDevice, type TunOptions, takeTun, tunNameOf } from '../../../sys/host/tun.ts';
import { closeDescriptor } from '../../../sys/sockets/local-sockets.ts';
import type { UnderlaySocket } from '../../../sys/sockets/sockets.ts';
import {
  EndpointKind,
  type EndpointRow,
  type LinkRow,
  type Numbered,
  Offload,
} from '../../../table/links/links.ts';
import { endOrphans, isRunning, runningOrphans } from '../../host/orphans.ts';
import type { WireSpec } from '../../store/link-spec.ts';
import { NOTHING_KEPT, type PredecessorTables, readPredecessor } from '../tables/predecessor.ts';
import { Inheritance } from './handover.ts';

/** Links of the predecessor that do not come up within this time, ms, are not waited for any longer. */
const LINKS_TIMEOUT_MS = 2000;
/** A process that was told to end has this long for what is in its hands, ms. */
const END_TIMEOUT_MS = 1500;
const LOOK_MS = 2;

/** Names an endpoint: nothing else on this host has its address and port. */
export function endpointKey(kind: number, local: UnderlayAddress, port: number): string {
  return `${kind}:${local}:${port}`;
}

export function endpointKind({ encap }: Pick<WireSpec, 'encap'>): number {
  return ENCAPS[encap].udp ? EndpointKind.Udp : EndpointKind.Ipip;
}

type LeftDevice = { row: LinkRow; queues: (number | undefined)[] };
type LeftEndpoint = { row: EndpointRow; queues: number[][]; probes: number[] };

/** The sockets of an endpoint, for each queue, and what asks about its ways. */
export type TakenEndpoint = { queues: UnderlaySocket[][]; probes: number[] };

function localOf(row: EndpointRow): UnderlayAddress {
  if (row.isIpv6 !== 1) return row.localAddress;
  const { localWord0 = 0, localWord1 = 0, localWord2 = 0, localAddress } = row;
  const view = new DataView(new ArrayBuffer(16));
  for (const [i, word] of [localWord0, localWord1, localWord2, localAddress].entries()) {
    view.setUint32(4 * i, word);
  }
  return hostOfBytes(new Uint8Array(view.buffer));
}

/** The row that a grant means; undefined where the tables have another by now. */
function rowOf<R>(rows: ReadonlyMap<number, Numbered<R>>, number: number, incarnation: number) {
  const found = rows.get(number);
  return found?.incarnation === incarnation ? found.row : undefined;
}

export class Estate {
  /** What the predecessor's tables say. */
  readonly kept: PredecessorTables;
  readonly #directory: string | undefined;
  readonly #orphans: readonly Inheritance[];
  readonly #devices = new Map<string, LeftDevice>();
  readonly #endpoints = new Map<string, LeftEndpoint>();
  /** Descriptors that nobody has taken. */
  readonly #left: Set<number>;
  #isHurried = false;
  #hasEnded = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    directory: string | undefined,
    orphans: readonly Inheritance[],
    kept: PredecessorTables,
  ) {
    this.#directory = directory;
    this.#orphans = orphans;
    this.#left = new Set(orphans.flatMap((one) => one.descriptors));
    this.kept = kept;
  }

  /** That of nobody. */
  static none(): Estate {
    return new Estate(undefined, [], NOTHING_KEPT);
  }

  /**
   * @param directory where running data processes are noted
   * @param queues how many of them ours will be; 0 = what they hold is of no use
   */
  static async open(directory: string, queues: number, log: Log): Promise<Estate> {
    const pids = runningOrphans(directory);
    const asked = await Promise.all(pids.map((pid) => Inheritance.ask(directory, pid)));
    const orphans = asked.filter((one) => one !== undefined);
    const [first] = orphans;
    const kept = first === undefined ? NOTHING_KEPT : readPredecessor(first.tables);
    const estate = new Estate(directory, orphans, kept);
    if (orphans.length === pids.length && pids.length === queues) estate.#sort();
    if (pids.length > 0 && estate.#devices.size === 0) {
      log.warn('data', 'what the data processes of a killed router hold is opened anew');
    }
    return estate;
  }

  #sort(): void {
    for (const [queue, { links, endpoints }] of this.#orphans.entries()) {
      for (const { id, incarnation, device } of links) {
        const [row, name] = [rowOf(this.kept.links, id, incarnation), tunNameOf(device)];
        if (row === undefined || name === undefined) continue;
        const left = this.#devices.get(name) ?? { row, queues: [] };
        left.queues[queue] = device;
        this.#devices.set(name, left);
      }
      for (const { index, incarnation, sockets, probe } of endpoints) {
        const row = rowOf(this.kept.endpoints, index, incarnation);
        if (row === undefined) continue;
        const key = endpointKey(row.kind, localOf(row), row.localPort);
        const left = this.#endpoints.get(key) ?? { row, queues: [], probes: [] };
        left.queues[queue] = [...sockets];
        left.probes[queue] = probe;
        this.#endpoints.set(key, left);
      }
    }
  }

  /** Whether processes of a predecessor run. */
  get isThere(): boolean {
    return this.#orphans.length > 0 && !this.#hasEnded;
  }

  /** Whether there are links of the predecessor's that ours have not got yet. */
  get isAwaited(): boolean {
    return this.isThere && !this.#isHurried && this.#devices.size > 0;
  }

  /**
   * Whether ours still wait for links of the predecessor's.
   * @param later called when that has lasted too long
   */
  waits(later: () => void): boolean {
    clearTimeout(this.#timer);
    if (!this.isAwaited) return false;
    this.#timer = setTimeout(() => {
      this.#isHurried = true;
      later();
    }, LINKS_TIMEOUT_MS);
    return true;
  }

  /** Something else is wanted than what the predecessor had: ours begin with what there is. */
  hurry(): void {
    this.#isHurried = true;
  }

  /**
   * Whether a link can be had beside what the predecessor's processes still do.
   * @param row what its row is about to say
   */
  fits(spec: WireSpec, row: Partial<LinkRow>, options: TunOptions): boolean {
    if (!this.isThere) return true;
    const device = this.#devices.get(spec.device);
    const locals = [spec.local, ...(spec.further ?? []).map(({ local }) => local)];
    const isSame = (left: LeftDevice): boolean => {
      const words = Object.entries(row) as [keyof LinkRow, number][];
      return (
        words.every(([field, word]) => (left.row[field] ?? 0) === word >>> 0) &&
        left.queues.every((fd) => fd !== undefined && takeTun(fd, options) !== undefined)
      );
    };
    const isLike = ({ row: { kind, offloads }, queues }: LeftEndpoint): boolean => {
      if (kind === EndpointKind.Ipip) return true;
      const count = Math.max(...queues.map(({ length }) => length));
      return (
        (offloads !== 0) === (spec.offload === 'auto') &&
        count > 1 === spec.sourcePorts > 1 &&
        count <= Math.max(1, spec.sourcePorts + 1)
      );
    };
    if (device !== undefined && !isSame(device)) return false;
    return locals.every((local) => {
      const left = this.#endpoints.get(endpointKey(endpointKind(spec), local, spec.port));
      return left === undefined || isLike(left);
    });
  }

  /** A queue of a device, which is the caller's from now on. */
  takeDevice(name: string, queue: number, options: TunOptions): TunDevice | undefined {
    const left = this.#devices.get(name);
    const fd = left?.queues[queue];
    if (left === undefined || fd === undefined) return undefined;
    left.queues[queue] = undefined;
    this.#left.delete(fd);
    if (left.queues.every((other) => other === undefined)) this.#devices.delete(name);
    return takeTun(fd, options);
  }

  /** The sockets of an endpoint, which are the caller's from now on. */
  takeEndpoint(key: string): TakenEndpoint | undefined {
    const left = this.#endpoints.get(key);
    if (left === undefined) return undefined;
    this.#endpoints.delete(key);
    for (const fd of [...left.queues.flat(), ...left.probes]) this.#left.delete(fd);
    const has = (offload: number): boolean => (left.row.offloads & offload) !== 0;
    const [segment, gro] = [has(Offload.Segment), has(Offload.Gro)];
    const queues = left.queues.map((sockets) =>
      sockets.map((fd, i) => ({ fd, segment, gro: gro && i === 0 })),
    );
    return { queues, probes: left.probes };
  }

  /** Ours read everything that is left: theirs end, and what nobody wanted is closed. Again: nothing. */
  async end(ours: readonly number[]): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    for (const orphan of this.#orphans) orphan.end();
    const deadlineMs = performance.now() + END_TIMEOUT_MS;
    const directory = this.#directory;
    if (directory !== undefined) {
      const runs = (): boolean => this.#orphans.some(({ pid }) => isRunning(directory, pid));
      while (runs() && performance.now() < deadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      await endOrphans(directory, ours);
    }
    for (const orphan of this.#orphans) orphan.close();
    for (const fd of this.#left) closeDescriptor(fd);
    this.#left.clear();
    this.#devices.clear();
    this.#endpoints.clear();
  }
}
