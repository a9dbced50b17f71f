/**
 * The data process. Control starts it with descriptors 3 (its own segment), 4 (wake-up eventfd),
 * 5 (parent pipe), 6 (the tables of all), and the devices and sockets that its segment names; it opens
 * nothing of the host's, holds no capability, is left with the system calls of its loop, and reads no
 * configuration but the two segments. Its arguments are its epoch, and `warm` where it has the time to
 * warm up first.
 * @module
 */
import { writeSync } from 'node:fs';
import { LAYOUT_BYTES, Layout } from '../shm/layout.ts';
import { AF_INET } from '../sys/libc/constants.ts';
import { SharedMemory } from '../sys/libc/memory.ts';
import { sealProcess, sharpenTimers } from '../sys/process/capabilities.ts';
import { exitAtOnce } from '../sys/process/exit.ts';
import { limitRealtime } from '../sys/process/priority.ts';
import { confineProcess } from '../sys/process/seccomp.ts';
import { RouteMtu } from '../sys/sockets/route-mtu.ts';
import { TABLES_BYTES, TableSegment } from '../table/segment.ts';
import { Arena } from './ground/arena.ts';
import { KernelPorts } from './ground/ports.ts';
import { ARENA_BYTES, Loop } from './loop.ts';
import { warmUp } from './warm-up.ts';

const SEGMENT_FD = 3;
const WAKE_FD = 4;
const PARENT_FD = 5;
const TABLES_FD = 6;

sealProcess();
sharpenTimers();
limitRealtime();
const memory = SharedMemory.open(SEGMENT_FD, LAYOUT_BYTES);
const tables = SharedMemory.openReadOnly(TABLES_FD, TABLES_BYTES);
const layout = new Layout(memory.buffer);
const arena = new Arena(ARENA_BYTES);
const encap = process.argv[3] === 'warm' ? layout.read()?.links[0]?.encap : undefined;
if (encap !== undefined) warmUp(arena, encap);
const loop = new Loop(arena, layout, new TableSegment(tables.buffer), WAKE_FD, PARENT_FD, {
  ports: new KernelPorts(arena),
  family: AF_INET,
  routes: (locals) => new RouteMtu(locals),
});
// Everything is open and loaded: from here on packets of strangers are read, and nothing but the
// loop's own calls is left. Whether it is in force the kernel itself says (see `fanway status`).
confineProcess();
let code = 0;
try {
  loop.run(Number(process.argv[2]));
} catch (error) {
  code = 1;
  writeSync(process.stderr.fd, `${error instanceof Error ? error.stack : String(error)}\n`);
}
// Not by way of the runtime's own end: from Node 22 on that turns its event loop once more, which asks
// io_uring, and that could open whatever the filter is there to keep shut.
exitAtOnce(code);
