/**
 * Control's side of taking over from the data processes of a predecessor that was killed: the socket that
 * each is born with for it, and asking for what they hold (dataplane/handover.ts tells what goes over it).
 * @module
 */
import { rmSync } from 'node:fs';
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
} from '../../../sys/libc/constants.ts';
import { check, errnoName, libc, SystemError } from '../../../sys/libc/libc.ts';
import { type Passed, receiveDescriptors, sendDescriptors } from '../../../sys/sockets/fdpass.ts';
import {
  bindName,
  closeDescriptor,
  isLocalPath,
  localAddress,
  socketPair,
} from '../../../sys/sockets/local-sockets.ts';
import {
  decodeLinkChange,
  descriptorsOf,
  type EndpointGrant,
  LINK_CHANGE_BYTES_MAX,
  type LinkGrant,
} from '../../../table/links/link-change.ts';
import { handoverSocket } from '../../host/orphans.ts';

/** An orphan looks at least once a second, and is woken by being asked. */
const ANSWER_TIMEOUT_MS = 1000;
const LOOK_MS = 1;

/** A socket for a data process that is about to be born. @throws SystemError */
export function openHandover(): number {
  const type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return check('socket', libc.socket(AF_UNIX, type, 0));
}

/** Gives it the name by which a successor finds it; why it has none, '' = it has. */
export function nameHandover(socket: number, directory: string, pid: number): string {
  const path = handoverSocket(directory, pid);
  if (!isLocalPath(path)) return 'the path of the run directory is too long';
  // Whoever had the pid before left it.
  rmSync(path, { force: true });
  const result = bindName(socket, localAddress(path));
  return result === 0 ? '' : errnoName(-result);
}

/** Sends an orphan its question. @throws SystemError when nobody is there */
function sendAsk(end: number, path: string): void {
  const socket = openHandover();
  try {
    sendDescriptors(socket, Uint8Array.of(0), [end], localAddress(path));
  } finally {
    closeDescriptor(socket);
  }
}

/** A message of an orphan's; undefined = none now, `ended` = nor will there be. */
function receive(socket: number): Passed | 'ended' | undefined {
  try {
    const passed = receiveDescriptors(socket, LINK_CHANGE_BYTES_MAX);
    return passed?.bytes.length === 0 ? 'ended' : passed;
  } catch (error) {
    if (error instanceof SystemError) return 'ended';
    throw error;
  }
}

/** What a data process of a predecessor holds. Descriptors are ours: open beside its own. */
export class Inheritance {
  readonly pid: number;
  readonly tables: number;
  readonly endpoints: EndpointGrant[] = [];
  readonly links: LinkGrant[] = [];
  readonly #socket: number;

  private constructor(pid: number, socket: number, tables: number) {
    this.pid = pid;
    this.#socket = socket;
    this.tables = tables;
  }

  /** Asks a data process; undefined where it does not answer, as one of another build does not. */
  static async ask(directory: string, pid: number): Promise<Inheritance | undefined> {
    const path = handoverSocket(directory, pid);
    if (!isLocalPath(path)) return undefined;
    const [ours, theirs] = socketPair(SOCK_SEQPACKET);
    try {
      sendAsk(theirs, path);
    } catch (error) {
      closeDescriptor(ours);
      if (error instanceof SystemError) return undefined;
      throw error;
    } finally {
      closeDescriptor(theirs);
    }
    return Inheritance.#receive(pid, ours);
  }

  static async #receive(pid: number, socket: number): Promise<Inheritance | undefined> {
    const deadlineMs = performance.now() + ANSWER_TIMEOUT_MS;
    let found: Inheritance | undefined;
    while (performance.now() < deadlineMs) {
      const passed = receive(socket);
      if (passed === undefined) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        continue;
      }
      if (passed === 'ended') break;
      if (found === undefined) {
        const [tables = -1] = passed.descriptors;
        found = new Inheritance(pid, socket, tables);
      } else if (found.#take(passed)) return found;
    }
    for (const descriptor of found?.descriptors ?? []) closeDescriptor(descriptor);
    if (found === undefined) closeDescriptor(socket);
    else found.close();
    return undefined;
  }

  /** Those of its devices and sockets, which are not closed with this. */
  get descriptors(): number[] {
    const { endpoints, links } = this;
    return descriptorsOf({ sequence: 0, left: [], endpoints, links });
  }

  /** True with the last message. */
  #take({ bytes, descriptors }: Passed): boolean {
    const change = decodeLinkChange(bytes, descriptors);
    if (change === undefined) {
      for (const descriptor of descriptors) closeDescriptor(descriptor);
      return false;
    }
    this.endpoints.push(...change.endpoints);
    this.links.push(...change.links);
    return change.sequence === 0;
  }

  /** Tells it that ours read what it reads: it ends once nothing is left in its hands. */
  end(): void {
    try {
      sendDescriptors(this.#socket, Uint8Array.of(0), []);
    } catch (error) {
      // It has ended already.
      if (!(error instanceof SystemError)) throw error;
    }
  }

  /** Lets go of the way to it, and of its tables. */
  close(): void {
    for (const descriptor of [this.#socket, this.tables]) closeDescriptor(descriptor);
  }
}
