/**
 * What this machine is and how busy it is, read from /proc.
 * @module
 */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** Kernel time units of /proc: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export type Machine = {
  kernel: string;
  node: string;
  cpu: string;
  cores: number;
  memoryBytes: number;
};

/** The machine as it is written beside every result. */
export function describeMachine(): Machine {
  const [first] = cpus();
  return {
    kernel: release(),
    node: process.versions.node,
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
  };
}

/** CPU seconds spent since boot by the whole machine, without idle and waiting for disks. */
export function busySeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  // user nice system idle iowait irq softirq steal: proc(5). Steal is another guest's time.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** Time that the hypervisor gave to others, in seconds since boot, over all cores. */
export function stolenSeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  return Number(line.trim().split(/\s+/)[8] ?? 0) / TICKS_PER_SECOND;
}

/**
 * Waits until the machine spends less than `share` of its cores for a while, at most `maxMs`.
 * @returns the share it last saw, and whether that was quiet.
 */
export async function waitForQuiet(
  share: number,
  maxMs: number,
): Promise<{ share: number; quiet: boolean }> {
  const windowMs = 500;
  const deadline = performance.now() + maxMs;
  const cores = cpus().length;
  for (;;) {
    const from = performance.now();
    const before = busySeconds() + stolenSeconds();
    await new Promise((resolve) => setTimeout(resolve, windowMs));
    const spent = busySeconds() + stolenSeconds() - before;
    const now = spent / (((performance.now() - from) / 1000) * cores);
    if (now < share) return { share: now, quiet: true };
    if (performance.now() > deadline) return { share: now, quiet: false };
  }
}

/** CPU seconds that a process has spent; 0 when it is gone. */
export function processSeconds(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields after the command name, which may hold blanks: utime and stime are the 14th and 15th.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

/** Resident memory of a process in bytes (VmRSS); 0 when it is gone. */
export function residentBytes(pid: number): number {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
