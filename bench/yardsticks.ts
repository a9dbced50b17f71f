/**
 * Tunnels written in C and compiled here where there is a compiler. The plainest is a loop that moves
 * one packet a system call: no package offers IPIP in user space, so its IPIP form is the best that
 * fanway can be held against. The other one has the offloads that fanway has, and nothing else.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { distDirectory } from '../src/sys/host/paths.ts';
import type { PeerEnd, PeerSetup } from './peer-setups.ts';
import { findProgram } from './programs.ts';

const COMPILER = 'cc';

/** Compiles a program into a folder that is removed afterwards; returns its path. */
function compile(name: string, folder: string): string {
  const source = join(dirname(distDirectory()), 'bench', `${name}.c`);
  const program = join(folder, name);
  const options = ['-O3', '-o', program, source];
  execFileSync(findProgram(COMPILER) ?? COMPILER, options, { stdio: ['ignore', 'ignore', 'pipe'] });
  return program;
}

/** @param more words behind device and addresses */
async function start(
  name: string,
  ends: readonly [PeerEnd, PeerEnd],
  ...more: readonly string[]
): Promise<void> {
  const program = compile(name, ends[0].folder);
  for (const end of ends) {
    const [local, remote] = [end.underlay[end.index], end.underlay[1 - end.index] ?? ''];
    end.host.spawn(program, [end.device, local, remote, ...more], { stdio: 'ignore' });
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
    start: (ends) => start('yardstick', ends, 'udp'),
  },
  {
    key: 'c-ipip',
    title: 'C loop, IPIP',
    package: 'gcc',
    programs: [COMPILER],
    mtu: 1480,
    addresses: false,
    start: (ends) => start('yardstick', ends, 'ipip'),
  },
  {
    key: 'c-trains',
    title: 'C loop, IP in UDP, with offloads',
    package: 'gcc',
    programs: [COMPILER],
    mtu: 1472,
    addresses: false,
    start: (ends) => start('yardstick-trains', ends),
  },
];
