/**
 * Changes of the links as they come from control: messages with descriptors beside them. The first one
 * names what the process was born with.
 * @module
 */
import type { Layout } from '../shm/layout.ts';
import { EINVAL, EMFILE } from '../sys/libc/constants.ts';
import { SystemError } from '../sys/libc/libc.ts';
import { type Passed, receiveDescriptors } from '../sys/sockets/fdpass.ts';
import { closeDescriptor } from '../sys/sockets/local-sockets.ts';
import {
  decodeLinkChange,
  LINK_CHANGE_BYTES_MAX,
  type LinkChange,
} from '../table/links/link-change.ts';

/** One that came. */
export type Arrived = {
  sequence: number;
  /** Undefined when it did not come whole; its descriptors are closed again. */
  change: LinkChange | undefined;
  /** Why it did not. */
  errno: number;
};

/** Where they come from. */
export type Changes = {
  /** Readable when one has come. */
  readonly descriptor: number;
  /** The next one, undefined when none waits. */
  take(): Arrived | undefined;
};

/** Control has sent something, links come, or go: applies all of it, and tells control what came of each. */
export function serveChanges(
  changes: Changes | undefined,
  layout: Layout,
  apply: (change: LinkChange) => number,
): void {
  for (let came = changes?.take(); came !== undefined; came = changes?.take()) {
    const { sequence, change } = came;
    layout.answerChange(sequence, change === undefined ? came.errno : apply(change));
  }
}

/** Control's own socket pair. */
export class ChangeChannel implements Changes {
  readonly descriptor: number;
  /** Number of the last one; control counts up, and waits for the answer to each. */
  #sequence = 0;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  take(): Arrived | undefined {
    let passed: Passed | undefined;
    try {
      passed = receiveDescriptors(this.descriptor, LINK_CHANGE_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      // Some of the descriptors found no room: of a message of control's that is our own limit.
      if (error.code === 'EMSGSIZE') return this.#refuse(EMFILE);
      return undefined;
    }
    // Nothing waits, or nobody is left to send.
    if (passed === undefined || passed.bytes.length === 0) return undefined;
    const change = decodeLinkChange(passed.bytes, passed.descriptors);
    if (change === undefined) {
      for (const descriptor of passed.descriptors) closeDescriptor(descriptor);
      return this.#refuse(EINVAL);
    }
    this.#sequence = change.sequence;
    return { sequence: change.sequence, change, errno: 0 };
  }

  #refuse(errno: number): Arrived {
    this.#sequence++;
    return { sequence: this.#sequence, change: undefined, errno };
  }
}
