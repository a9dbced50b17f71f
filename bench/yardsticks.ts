/**
 * The plainest tunnels, written in C and compiled here where there is a compiler: a loop that moves
 * one packet a system call. No package offers IPIP in user space, so its IPIP form is the best that
 * fanway can be held against.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { distDirectory } from '../src/sys/host/paths.ts';
import type { PeerEnd, PeerSetup } from './peer-setups.ts';
import { findProgram } from './programs.ts';

const COMPILER = 'cc';

/** Compiles the program into a folder that is removed afterwards; returns its path. */
function compile(folder: string): string {
  const source = join(dirname(distDirectory()), 'bench', 'yardstick.c');
  const program = join(folder, 'yardstick');
  execFileSync(findProgram(COMPILER) ?? COMPILER, ['-O2', '-o', program, source], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return program;
}

async function start(ends: readonly [PeerEnd, PeerEnd], mode: 'udp' | 'ipip'): Promise<void> {
  const program = compile(ends[0].folder);
  for (const end of ends) {
    const [local, remote] = [end.underlay[end.index], end.underlay[1 - end.index] ?? ''];
    end.host.spawn(program, [end.device, local, remote, mode], { stdio: 'ignore' });
  }
}

export const yardstickSetups: readonly PeerSetup[] = [
  {
    key: 'c-udp',
    title: 'C loop, IP in UDP',
    package: 'gcc',
    programs: [COMPILER],
    mtu: 1472,
    addresses: false,
    start: (ends) => start(ends, 'udp'),
  },
  {
    key: 'c-ipip',
    title: 'C loop, IPIP',
    package: 'gcc',
    programs: [COMPILER],
    mtu: 1480,
    addresses: false,
    start: (ends) => start(ends, 'ipip'),
  },
];
