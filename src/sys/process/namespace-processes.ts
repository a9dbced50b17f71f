/** Network namespaces seen from outside: who lives in one, and what people call it. @module */
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Where `ip netns add NAME` mounts namespaces (iproute2). */
const NAMED = '/run/netns';

/** Pids of the processes whose network namespace has this inode, ourselves excepted. */
export function processesIn(namespaceInode: number): number[] {
  const wanted = `net:[${namespaceInode}]`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === wanted;
      } catch {
        return false; // ended meanwhile, or not ours to look at
      }
    });
}

/** The name that `ip netns` has for a namespace, '' when it has none. */
export function namespaceName(namespaceInode: number): string {
  let names: string[];
  try {
    names = readdirSync(NAMED);
  } catch {
    return ''; // nobody has used `ip netns` here
  }
  const found = names.find((name) => {
    try {
      return statSync(join(NAMED, name)).ino === namespaceInode;
    } catch {
      return false; // removed meanwhile
    }
  });
  return found ?? '';
}

/** Whether a process that we can see lives in the namespace, or a name keeps it. */
export function isNamespaceAlive(namespaceInode: number): boolean {
  return namespaceName(namespaceInode) !== '' || processesIn(namespaceInode).length > 0;
}
