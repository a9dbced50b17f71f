/**
 * The underlay sockets: one set for each local address, port and queue, shared by the links that
 * use them.
 * @module
 */
import type { FanEncap } from '../../config/link/modes.ts';
import { codeOf, FanwayError } from '../../errors.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { libc, SystemError } from '../../sys/libc/libc.ts';
import { countEphemeralPorts } from '../../sys/sockets/ephemeral-ports.ts';
import { sendTrain } from '../../sys/sockets/send-train.ts';
import {
  openIpip,
  openSendOnlyUdp,
  openUdp,
  type UnderlaySocket,
} from '../../sys/sockets/sockets.ts';
import { EndpointKind } from '../../table/links/links.ts';
import { ENDPOINTS_MAX } from '../../table/segment.ts';
import type { AnySpec, WireSpec } from '../store/link-spec.ts';
import { type Estate, endpointKey, endpointKind } from './process/estate.ts';

/** Sockets on one local address and port, one set for each queue, shared by links. */
export type EndpointState = {
  key: string;
  /** Its number in the tables, and which of those that ever had it. */
  index: number;
  incarnation: number;
  kind: number;
  /** What its links speak. */
  encap: FanEncap;
  local: UnderlayAddress;
  port: number;
  users: number;
  queues: UnderlaySocket[][];
  /** For each queue a socket that asks what the ways from the address carry; −1 = none was to be had. */
  probes: number[];
};

/** What an endpoint takes of the ephemeral ports at most. */
const RANGE_SHARE_MAX = 1 / 4;

/** Outer source ports that a link has in each queue, its listening port where there are no others. */
export function sourcePortsOf(endpoint: EndpointState): number {
  return Math.min(...endpoint.queues.map(({ length }) => Math.max(1, length - 1)));
}

/** The sockets of an endpoint that receive: the others let nothing in. */
export function receiversOf({ kind, queues }: EndpointState): UnderlaySocket[] {
  return kind === EndpointKind.Ipip ? queues.flat() : queues.flatMap((queue) => queue.slice(0, 1));
}

/** A datagram of control's own, and where it goes. */
export type Sending = [
  to: { address: UnderlayAddress; port: number },
  datagram: Buffer<ArrayBuffer>,
];

function closeSockets({ queues, probes }: EndpointState): void {
  for (const queue of queues) for (const socket of queue) libc.close(socket.fd);
  for (const probe of probes) if (probe >= 0) libc.close(probe);
}

/** No port or descriptor is left for it: then the first send that is refused tells what fits. */
function openProbe(local: UnderlayAddress, isFree: boolean): number {
  try {
    return openSendOnlyUdp(local, { offload: false, isFree }).fd;
  } catch (error) {
    if (error instanceof SystemError) return -1;
    throw error;
  }
}

export class EndpointSet {
  readonly #queues: number;
  readonly #left: Pick<Estate, 'takeEndpoint'>;
  readonly #endpoints = new Map<string, EndpointState>();
  #incarnations = 0;

  /**
   * @param queues data processes, each of which gets sockets of its own
   * @param left what a predecessor left open
   */
  constructor(queues: number, left: Pick<Estate, 'takeEndpoint'>) {
    this.#queues = queues;
    this.#left = left;
  }

  /**
   * The endpoint for a link, opened where it is not there yet.
   * @param isFree whether its address need not be here: then it works once that is
   * @throws FanwayError `port-taken`, `too-many-endpoints`; SystemError when the kernel refuses.
   */
  acquire(spec: WireSpec, isFree = false): EndpointState {
    const kind = endpointKind(spec);
    // Links share a listening port; bridged and routed traffic on one port could not be told apart.
    const key = endpointKey(kind, spec.local, spec.port);
    const known = this.#endpoints.get(key);
    if (known !== undefined) {
      if (known.encap !== spec.encap) {
        throw new FanwayError(
          'port-taken',
          `port ${spec.port} carries ${known.encap} already: choose another --port for ${spec.encap}`,
        );
      }
      known.users++;
      return known;
    }
    const index = this.#freeIndex();
    const endpoint: EndpointState = {
      ...{ key, index, incarnation: ++this.#incarnations, probes: [] },
      kind,
      encap: spec.encap,
      local: spec.local,
      port: spec.port,
      users: 1,
      queues: [],
      ...this.#left.takeEndpoint(key),
    };
    try {
      for (let queue = endpoint.queues.length; queue < this.#queues; queue++) {
        this.#open(endpoint, spec, queue, isFree);
        // After those that have a port of their own to ask for.
        endpoint.probes.push(openProbe(spec.local, isFree));
      }
    } catch (error) {
      closeSockets(endpoint);
      throw error;
    }
    this.#endpoints.set(key, endpoint);
    return endpoint;
  }

  /**
   * An endpoint on each underlay of a link, the first one first; all or none. A link that comes back goes on
   * by those whose address is here. @throws as {@link acquire}
   */
  acquireAll(spec: AnySpec): [EndpointState, ...EndpointState[]] {
    const endpoints: [EndpointState, ...EndpointState[]] = [this.acquire(spec)];
    try {
      for (const { local } of spec.further ?? []) {
        endpoints.push(this.acquire({ ...spec, local }, true));
      }
    } catch (error) {
      for (const endpoint of endpoints) this.release(endpoint);
      throw error;
    }
    return endpoints;
  }

  #freeIndex(): number {
    const taken = new Set([...this.#endpoints.values()].map(({ index }) => index));
    let index = 0;
    while (taken.has(index)) index++;
    if (index < ENDPOINTS_MAX) return index;
    throw new FanwayError('too-many-endpoints', `at most ${ENDPOINTS_MAX} addresses and ports`);
  }

  #open(endpoint: EndpointState, spec: WireSpec, queue: number, isFree: boolean): void {
    const offload = spec.offload === 'auto';
    const sockets: UnderlaySocket[] = [];
    endpoint.queues.push(sockets);
    if (endpoint.kind === EndpointKind.Ipip) {
      for (const inside of [4, 6] as const) {
        sockets.push(openIpip(spec.local, queue, this.#queues, inside, isFree));
      }
      return;
    }
    const reusePort = this.#queues > 1;
    sockets.push(openUdp(spec.local, spec.port, { offload, reusePort, isFree }));
    if (spec.sourcePorts <= 1) return;
    for (let i = this.#sourcePorts(spec); i > 0; i--) {
      try {
        sockets.push(openSendOnlyUdp(spec.local, { offload, isFree }));
      } catch (error) {
        // Others have all the rest: fewer will do, in the end the listening one alone.
        if (codeOf(error) === 'EADDRINUSE') return;
        throw error;
      }
    }
  }

  /** Sends from the port that an endpoint listens on. @throws SystemError */
  sendFrom(endpoint: EndpointState | undefined, ...sending: Sending): void {
    const listener = endpoint?.queues[0]?.[0];
    if (listener === undefined) return;
    try {
      sendTrain(listener.fd, ...sending);
    } catch {
      // An ICMP error of another's may have been waiting there: the same send again tells.
      sendTrain(listener.fd, ...sending);
    }
  }

  /** How many ports of their own a queue's flows get: others need some of a small range too. */
  #sourcePorts(spec: WireSpec): number {
    const range = countEphemeralPorts() ?? Number.POSITIVE_INFINITY;
    return Math.min(spec.sourcePorts, Math.floor((range * RANGE_SHARE_MAX) / this.#queues));
  }

  /** One user less; the last one closes the sockets, and then it returns true. */
  release(endpoint: EndpointState): boolean {
    if (--endpoint.users > 0) return false;
    this.#endpoints.delete(endpoint.key);
    closeSockets(endpoint);
    return true;
  }
}
