/**
 * What commands of `fanway run` see in the place of the machine's own files: names of hosts, and name
 * servers that can be reached from their network.
 * @module
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { formatIpv4 } from '../../net/ipv4.ts';

/** A host of the overlay by name; its address as text, of either family. */
export type NamedHost = { name: string; address: string };

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
/** Hosts of the largest cluster. */
const NAMES_MAX = 4096;
const HEAD = '# Hosts of the overlay, kept by fanway run:';

export function hostsFile(run: RunDirectory): string {
  return join(run.path, 'hosts');
}
export function resolversFile(run: RunDirectory): string {
  return join(run.path, 'resolv.conf');
}

/** The machine's own names, then those of the overlay; what cannot be a name is left out. */
export function hostsText(machine: string, hosts: readonly NamedHost[]): string {
  const lines = hosts
    .filter(({ name }) => NAME.test(name))
    .slice(0, NAMES_MAX)
    .map(({ name, address }) => `${address} ${name}`);
  const own = machine === '' || machine.endsWith('\n') ? machine : `${machine}\n`;
  return `${own}${[HEAD, ...lines].join('\n')}\n`;
}

/** The machine's resolv.conf with another name server; `server`: u32. */
export function resolversText(machine: string, server: number): string {
  const kept = machine.split('\n').filter((line) => /^\s*(search|domain|options)\s/.test(line));
  return `${[`nameserver ${formatIpv4(server)}`, ...kept].join('\n')}\n`;
}

/** The text of a file of the machine's, '' where it has none. */
export function machineText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Writes into the file that is there, as a new one in its place would not be seen where the old one is
 * mounted. Nothing happens while it holds the text already.
 */
export function writeInPlace(path: string, text: string): void {
  if (machineText(path) === text) return;
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
  try {
    const bytes = Buffer.from(text);
    // At once and only then shorter: a reader in between sees no half of a name.
    writeSync(fd, bytes, 0, bytes.length, 0);
    ftruncateSync(fd, bytes.length);
  } finally {
    closeSync(fd);
  }
}
