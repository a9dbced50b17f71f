/**
 * The data process. Control starts it with descriptors 3 (its own segment), 4 (wake-up eventfd),
 * 5 (parent pipe), 6 (the tables of all), 7 (changes of its links), 8 (the connections that all know), 9 (by
 * which a successor of control takes over), and the devices and sockets that the
 * first of those changes names; it opens nothing of the host's, holds no capability, is left with the
 * system calls of its loop, and reads no configuration but the two segments. Its arguments are its epoch,
 * and when it warms up: `before` its turn, while another forwards; `beside` its work, where nobody else does; or
 * not at all, `cold`.
 * @module
 */
import { writeSync } from 'node:fs';
import { ENCAPS } from '../encap/encap.ts';
import { FLOW_SET_BYTES, FlowSet } from '../shm/flow-set.ts';
import { LAYOUT_BYTES, Layout } from '../shm/layout.ts';
import { AF_INET } from '../sys/libc/constants.ts';
import { releaseProgramPages, SharedMemory } from '../sys/libc/memory.ts';
import { sealProcess, sharpenTimers } from '../sys/process/capabilities.ts';
import { exitAtOnce } from '../sys/process/exit.ts';
import { limitRealtime } from '../sys/process/priority.ts';
import { confineProcess } from '../sys/process/seccomp.ts';
import { RouteMtu } from '../sys/sockets/route-mtu.ts';
import type { LinkChange } from '../table/links/link-change.ts';
import { LinkReader } from '../table/links/links.ts';
import { TABLES_BYTES, TableSegment } from '../table/segment.ts';
import { ARENA_BYTES } from './arena-bytes.ts';
import { ChangeChannel } from './changes.ts';
import { Arena } from './ground/arena.ts';
import { KernelPorts, type Waiting } from './ground/ports.ts';
import { Handover } from './handover.ts';
import { Loop } from './loop.ts';
import { WARM_UP_ARENA_BYTES, WarmUp } from './warm-up.ts';

const SEGMENT_FD = 3;
const WAKE_FD = 4;
const PARENT_FD = 5;
const TABLES_FD = 6;
const CHANGES_FD = 7;
const FLOWS_FD = 8;
const HANDOVER_FD = 9;
/** A new process meets control in the middle of writing at worst: looks, and ms between them. */
const LOOKS_MAX = 100;
const LOOK_PAUSE_MS = 2;

/** What this process was born with. @throws Error when control has not said so, or does not finish */
function readBirth(changes: ChangeChannel, rows: LinkReader, waiting: Waiting): LinkChange {
  const birth = changes.take()?.change;
  if (birth === undefined) throw new Error('control has not said which links there are');
  const isWritten = (): boolean =>
    birth.endpoints.every(({ index }) => rows.endpoint(index) !== undefined) &&
    birth.links.every(({ id }) => rows.link(id) !== undefined);
  for (let look = 0; !isWritten(); look++) {
    if (look === LOOKS_MAX) throw new Error('control does not finish writing the tables');
    waiting.poll(0, 0, LOOK_PAUSE_MS);
  }
  return birth;
}

sealProcess();
sharpenTimers();
limitRealtime();
const memory = SharedMemory.open(SEGMENT_FD, LAYOUT_BYTES);
const tables = SharedMemory.openReadOnly(TABLES_FD, TABLES_BYTES);
const flows = SharedMemory.open(FLOWS_FD, FLOW_SET_BYTES);
const layout = new Layout(memory.buffer);
const segment = new TableSegment(tables.buffer);
const mode = process.argv[3];
const arena = new Arena(mode === 'cold' ? ARENA_BYTES : WARM_UP_ARENA_BYTES + ARENA_BYTES);
const ports = new KernelPorts(arena);
const rows = new LinkReader(segment);
const changes = new ChangeChannel(CHANGES_FD);
const birth = readBirth(changes, rows, ports.waiting);
releaseProgramPages();
const [first] = birth.links;
const encap = (first && rows.link(first.id)?.row.encap) ?? ENCAPS.vxlan.id;
const warmUp = mode === 'cold' ? undefined : WarmUp.open(arena, encap);
const loop = new Loop(arena, layout, segment, WAKE_FD, PARENT_FD, {
  ports,
  family: AF_INET,
  routes: new RouteMtu(),
  changes,
  flows: new FlowSet(flows.buffer),
  handover: new Handover(HANDOVER_FD, TABLES_FD),
});
const refused = loop.apply(birth);
if (refused !== 0) throw new Error(`the links cannot be taken in: errno ${refused}`);
if (mode === 'before') warmUp?.finish();
// Everything is open and loaded: from here on packets of strangers are read, and nothing but the
// loop's own calls is left. Whether it is in force the kernel itself says (see `fanway status`).
confineProcess();
let code = 0;
try {
  loop.run(Number(process.argv[2]), warmUp?.step);
} catch (error) {
  code = 1;
  writeSync(process.stderr.fd, `${error instanceof Error ? error.stack : String(error)}\n`);
}
// Not by way of the runtime's own end: from Node 22 on that turns its event loop once more, which asks
// io_uring, and that could open whatever the filter is there to keep shut.
exitAtOnce(code);
