/**
 * The data process. Control starts it with descriptors 3 (its own segment), 4 (wake-up eventfd),
 * 5 (parent pipe), 6 (the tables of all), and the devices and sockets that its segment names; it opens
 * nothing itself, holds no capability, is left with the system calls of its loop, and reads no
 * configuration but the two segments. Its only argument is its epoch.
 * @module
 */
import { writeSync } from 'node:fs';
import { LAYOUT_BYTES, Layout } from '../shm/layout.ts';
import { sealProcess } from '../sys/capabilities.ts';
import { libc } from '../sys/libc.ts';
import { SharedMemory } from '../sys/memory.ts';
import { confineProcess } from '../sys/seccomp.ts';
import { TABLES_BYTES, TableSegment } from '../table/segment.ts';
import { Loop } from './loop.ts';

const SEGMENT_FD = 3;
const WAKE_FD = 4;
const PARENT_FD = 5;
const TABLES_FD = 6;

sealProcess();
const memory = SharedMemory.open(SEGMENT_FD, LAYOUT_BYTES);
const tables = SharedMemory.openReadOnly(TABLES_FD, TABLES_BYTES);
const segment = new TableSegment(tables.buffer);
const loop = new Loop(new Layout(memory.buffer), segment, WAKE_FD, PARENT_FD);
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
libc._exit(code);
