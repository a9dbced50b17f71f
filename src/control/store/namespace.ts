/**
 * One run directory, one network namespace. A command that runs in another one would otherwise
 * change the network of the first: two namespaces on one machine share the file system.
 * @module
 */
import { readdirSync } from 'node:fs';
import { type FanwayError, refusedError } from '../../errors.ts';
import { isNamespaceAlive, namespaceName } from '../../sys/process/namespace-processes.ts';
import { NetworkNamespace } from '../../sys/process/netns.ts';
import {
  RUN_DIRECTORY_DEFAULT,
  type RunDirectory,
  readIfThere,
  writeAtomically,
} from './run-directory.ts';

/** A namespace as people know it. */
function titleOf(inode: number): string {
  const name = namespaceName(inode);
  return name === '' ? `net:[${inode}]` : `${name}, net:[${inode}]`;
}

/** The refusal, with the line to type instead. `here` is the namespace of the command. */
function otherNamespace(run: RunDirectory, there: number, here: number): FanwayError {
  const own = `${RUN_DIRECTORY_DEFAULT}-${namespaceName(here) || here}`;
  return refusedError(
    'other-namespace',
    `${run.path} belongs to the router of another network namespace (${titleOf(there)}; this is ${titleOf(here)}). Each has a run directory of its own: FANWAY_RUN_DIR=${own} fanway ... (and, to gossip, FANWAY_STATE_DIR=/var/lib/fanway-${namespaceName(here) || here})`,
  );
}

/** For the admin socket: only commands from our own namespace are carried out. */
export function admitOwn(run: RunDirectory): (namespace: number) => void {
  const own = NetworkNamespace.current().inode;
  return (namespace) => {
    if (namespace !== own) throw otherNamespace(run, own, namespace);
  };
}

/** Notes that this namespace's router has the directory from now on. */
export function claimForNamespace(run: RunDirectory): void {
  writeAtomically(run.namespace, `${NetworkNamespace.current().inode}\n`);
}

/**
 * Before anything that a killed router left is touched: what it made lies in its own namespace,
 * and only a command from there can take it back. Where that namespace is gone, all of it is.
 * @throws FanwayError `other-namespace` (exit code 3)
 */
export function requireOwnNamespace(run: RunDirectory): void {
  const there = Number(readIfThere(run.namespace) ?? '');
  const here = NetworkNamespace.current().inode;
  if (!Number.isInteger(there) || there <= 0 || there === here) return;
  if (readdirSync(run.journals).length === 0 || !isNamespaceAlive(there)) return;
  throw otherNamespace(run, there, here);
}
