/**
 * Starting one data process: without capabilities, with the descriptors of its links inherited, and
 * waited for until it has set itself up and only lacks its turn.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { Duplex } from 'node:stream';
import { messageOf } from '../../../errors.ts';
import type { Layout } from '../../../shm/layout.ts';
import { programCommand } from '../../../sys/host/paths.ts';
import { spawnUnprivileged } from '../../../sys/process/capabilities.ts';
import { startInOwnMounts } from '../../../sys/process/mounts.ts';
import { type Priority, ProcessPriority } from '../../../sys/process/priority.ts';
import { closeDescriptor } from '../../../sys/sockets/local-sockets.ts';
import { forgetProcess, recordProcess } from '../../host/orphans.ts';
import { GLIBC_MALLOC } from '../../store/memory.ts';
import { nameHandover, openHandover } from './handover.ts';
import { type Holding, LinkChannel } from './link-passing.ts';
import { DATA_V8_FLAGS } from './v8-flags.ts';

/** Longest start, set-up included, before a new process is given up, ms. */
const START_TIMEOUT_MS = 30_000;
/** Place of the parent pipe in the child's descriptors. */
const PARENT_PIPE = 5;
/**
 * Descriptors 0 to 9: stdio, segment, eventfd, parent pipe, tables, changes of the links, connections, the
 * socket by which a successor of control takes over.
 */
const FIRST_FREE_FD = 10;

export type Child = {
  process: ChildProcess;
  epoch: number;
  startedAtMs: number;
  exited: Promise<void>;
  hasEnded: () => boolean;
  /** The links that it began with. */
  born: Holding;
  /** Why it still sees the host's files; '' = it sees none. */
  mountGap: string;
  /** By which others come to it and go. */
  channel: LinkChannel;
  priority: ProcessPriority;
  /** Wakes it, so that it sees at once that its turn has come. */
  ring: () => void;
};

export type ChildOptions = {
  /** The links that it is born with. */
  wanted: Holding;
  /** Somebody forwards until it takes over: it has the time to warm up first. */
  hasPredecessor: boolean;
  epoch: number;
  /** Number of the last change of links that was passed to a predecessor. */
  sequence: number;
  layout: Layout;
  descriptors: { segment: number; wake: number; tables: number; flows: number };
  /** Where running processes are noted for a successor of control. */
  recordDirectory: string | undefined;
  priority: Priority;
  /** More wants to run on this machine than its cores can carry. */
  isCrowded: boolean;
  /** Whether nobody wants it any more. */
  isClosed: () => boolean;
  onError: (message: string) => void;
  /** It rings: it has told something that was waited for. */
  onRing: () => void;
};

/** Resolves when the process has set itself up. @throws Error when it ends or takes too long. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const channel = new LinkChannel();
  try {
    return await startWith(channel, options);
  } catch (error) {
    channel.close();
    throw error;
  }
}

async function startWith(channel: LinkChannel, options: ChildOptions): Promise<Child> {
  const { epoch, layout, recordDirectory: directory } = options;
  const startedAtMs = performance.now();
  const { child, mounts, reason } = spawnChild(channel, options);
  let mountGap = reason;
  const priority = new ProcessPriority(child.pid ?? 0, options.priority);
  priority.crowded(options.isCrowded);
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  child.on('error', (error) => options.onError(error.message));
  const { pid } = child;
  let ended = false;
  void exited.then(() => {
    ended = true;
    mounts?.close();
    channel.close();
    priority.close();
    if (pid !== undefined && directory !== undefined) forgetProcess(directory, pid);
  });
  // The parent pipe breaks when the child dies; that is not news.
  // (There are none when no more descriptors could be had.)
  const pipes: readonly unknown[] = child.stdio ?? [];
  const pipe = pipes[PARENT_PIPE] instanceof Duplex ? pipes[PARENT_PIPE] : undefined;
  pipe?.on('error', () => {});
  pipe?.on('data', () => {
    priority.behind(layout.isBehind);
    options.onRing();
  });
  while (layout.turn.warmEpoch !== epoch) {
    if (ended || options.isClosed() || performance.now() - startedAtMs > START_TIMEOUT_MS) {
      child.kill('SIGKILL');
      throw new Error(
        `the data process ${ended ? 'ended while it started' : 'did not start in time'}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  // All that it needs is loaded.
  try {
    mounts?.empty();
  } catch (error) {
    mountGap = messageOf(error);
  }
  mounts?.close();
  return {
    ...{
      process: child,
      epoch,
      startedAtMs,
      exited,
      channel,
      priority,
      mountGap,
      born: options.wanted,
    },
    hasEnded: () => ended,
    ring: () => pipe?.write('!'),
  };
}

/** Has a successor of control find the process, and the socket by which to take over from it. */
function noteChild(
  pid: number | undefined,
  handover: number,
  { recordDirectory: directory, onError }: ChildOptions,
): void {
  if (pid === undefined || directory === undefined) return;
  recordProcess(directory, pid);
  const reason = nameHandover(handover, directory, pid);
  if (reason !== '') onError(`should this router be killed, packets are lost (${reason})`);
}

function spawnChild(
  channel: LinkChannel,
  options: ChildOptions,
): ReturnType<typeof startInOwnMounts> {
  const { wanted, epoch, hasPredecessor, descriptors } = options;
  const inherited = channel.prepareBirth(wanted, FIRST_FREE_FD, options.sequence);
  const handover = openHandover();
  const [command, ...words] = programCommand('dataplane', DATA_V8_FLAGS);
  const warmUp = hasPredecessor ? 'before' : 'beside';
  const isCold = process.env['FANWAY_WARM_UP'] === '0';
  const all = [...words, String(epoch), isCold ? 'cold' : warmUp];
  const spawnOptions = {
    stdio: [
      ...(['ignore', 'ignore', 'inherit'] as const),
      ...([descriptors.segment, descriptors.wake, 'pipe', descriptors.tables] as const),
      ...[channel.childEnd, descriptors.flows, handover, ...inherited],
    ],
    // A Ctrl-C at the terminal is for control, which ends it in good order.
    detached: true,
    // Nothing of our environment concerns it; NODE_OPTIONS least of all.
    env: GLIBC_MALLOC,
    cwd: '/',
  };
  try {
    const started = startInOwnMounts(() => spawnUnprivileged(command, all, spawnOptions));
    try {
      noteChild(started.child.pid, handover, options);
    } catch (error) {
      // Nobody knows of it: it would wait for its turn as long as we live, and hold what it was born with.
      started.child.kill('SIGKILL');
      started.mounts?.close();
      throw error;
    }
    channel.childIsBorn();
    return started;
  } finally {
    closeDescriptor(handover);
  }
}
