/**
 * Links to and from a data process that runs: what has to change is one message with the descriptors
 * beside it, and the process says in shared memory what came of it. Whatever goes wrong (it does not
 * answer, it ends, it may open no more files) is only told; a successor is then started, which is how
 * a data process gets its first links too.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { Layout } from '../../../shm/layout.ts';
import { SOCK_SEQPACKET } from '../../../sys/libc/constants.ts';
import { errnoName } from '../../../sys/libc/libc.ts';
import { DESCRIPTORS_MAX, sendDescriptors } from '../../../sys/sockets/fdpass.ts';
import { closeDescriptor, socketPair } from '../../../sys/sockets/local-sockets.ts';
import {
  descriptorsOf,
  type EndpointGrant,
  encodeLinkChange,
  type LinkChange,
  type LinkGrant,
} from '../../../table/links/link-change.ts';

/** What a data process has, or is to have; descriptors are control's own. */
export type Holding = { endpoints: readonly EndpointGrant[]; links: readonly LinkGrant[] };

export const NOTHING_HELD: Holding = { endpoints: [], links: [] };

/**
 * How long a running process may take to answer, ms. It looks many times a millisecond while packets
 * move, and is woken where it sleeps; one that takes longer is stopped, or has no processor.
 */
const ANSWER_TIMEOUT_MS = 1000;
const LOOK_MS = 1;

/** What has to change so that a process has `wanted` instead of `held`; undefined = nothing. */
export function changeBetween(
  held: Holding,
  wanted: Holding,
): Omit<LinkChange, 'sequence'> | undefined {
  const isIn = <T extends { incarnation: number }>(
    list: readonly T[],
    { incarnation }: T,
  ): boolean => list.some((other) => other.incarnation === incarnation);
  const left = held.links.filter((link) => !isIn(wanted.links, link));
  const links = wanted.links.filter((link) => !isIn(held.links, link));
  const endpoints = wanted.endpoints.filter((endpoint) => !isIn(held.endpoints, endpoint));
  if (left.length + links.length + endpoints.length === 0) return undefined;
  return { left, links, endpoints };
}

/** The same under the numbers that a child inherits control's descriptors by, from `first` on. */
function inherited({ endpoints, links }: Holding, first: number): Holding {
  let next = first;
  return {
    endpoints: endpoints.map((endpoint) => ({
      ...endpoint,
      sockets: endpoint.sockets.map(() => next++),
      probe: endpoint.probe < 0 ? -1 : next++,
    })),
    links: links.map((link) => ({ ...link, device: next++ })),
  };
}

/** Control's end of the way to one data process. */
export class LinkChannel {
  readonly #ours: number;
  readonly #theirs: number;
  #open: number[];

  /** @throws SystemError when no descriptors are left */
  constructor() {
    [this.#ours, this.#theirs] = socketPair(SOCK_SEQPACKET);
    this.#open = [this.#ours, this.#theirs];
  }

  /** The end that the child inherits. */
  get childEnd(): number {
    return this.#theirs;
  }

  /**
   * Lays ready what the child is born with, which it finds when it starts. Returns the descriptors that
   * it is to inherit, as its numbers `first` and up.
   * @param sequence number of the last change; the child counts on from it
   * @throws SystemError
   */
  prepareBirth(wanted: Holding, first: number, sequence: number): number[] {
    const message = { sequence, left: [], ...inherited(wanted, first) };
    sendDescriptors(this.#ours, encodeLinkChange(message, true), []);
    return descriptorsOf({ ...message, ...wanted });
  }

  /** The child has its end: from now on the pair ends with it. */
  childIsBorn(): void {
    this.#close(this.#theirs);
  }

  /**
   * Has the process make a change; the reason why it did not, or '' when it has.
   * @param hasEnded whether the process is gone, and will not answer
   */
  async pass(change: LinkChange, layout: Layout, hasEnded: () => boolean): Promise<string> {
    const descriptors = descriptorsOf(change);
    if (descriptors.length > DESCRIPTORS_MAX) return `${descriptors.length} descriptors at once`;
    try {
      const sent = sendDescriptors(this.#ours, encodeLinkChange(change, false), descriptors);
      if (sent === 0) return 'it does not read';
    } catch (error) {
      return messageOf(error);
    }
    const deadlineMs = performance.now() + ANSWER_TIMEOUT_MS;
    for (;;) {
      const answer = layout.changeAnswer(change.sequence);
      if (answer !== undefined) return answer === 0 ? '' : `it says ${errnoName(answer)}`;
      if (hasEnded()) return 'it ended';
      if (performance.now() > deadlineMs) return `no answer within ${ANSWER_TIMEOUT_MS} ms`;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** Idempotent. */
  close(): void {
    for (const descriptor of this.#open) this.#close(descriptor);
  }

  #close(descriptor: number): void {
    if (!this.#open.includes(descriptor)) return;
    this.#open = this.#open.filter((open) => open !== descriptor);
    closeDescriptor(descriptor);
  }
}
