/**
 * What a network's parts have of one another: what is decided (the rib), what the data path reads (shared
 * memory) and what the kernel's bridge forwards by. Where they differ, packets go where nobody decided.
 * @module
 */
import { formatMac, isGroupMac } from '../../net/mac.ts';
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { Best, EntryId } from '../../rib/entry.ts';
import type { ForwardingEntry } from '../host/host.ts';
import type { Binding, MacPlace } from '../plane/tables/network-table.ts';

/** One difference, and what to do about it. */
export type Drift =
  /** The data path has another thing than was decided: it is written again. */
  | { kind: 'table'; id: EntryId; text: string }
  /** The bridge has another thing: its entry is looked at again. */
  | { kind: 'bridge'; entry: ForwardingEntry; text: string }
  /** Somebody wrote into the bridge that a MAC is in the tunnel, where nobody has it: it is forgotten. */
  | { kind: 'written'; mac: number; text: string }
  /** Somebody wrote into this host's own neighbours that an address is another MAC: it is taken out. */
  | { kind: 'neighbour'; address: number; text: string }
  /** The bridge answers ARP otherwise than it was told: the address is the data path's again. */
  | { kind: 'answer'; address: number; text: string };

/** What is compared, of one network. */
export type AuditParts = {
  macs: Iterable<{ id: EntryId; best: Best }>;
  bindings: Iterable<{ id: EntryId; best: Best }>;
  place: (mac: number) => MacPlace | undefined;
  binding: (address: UnderlayAddress) => Binding | undefined;
  /** The bridge's own table; `device` is our port of it, `bridge` its own ifindex. */
  bridgeEntries: readonly ForwardingEntry[];
  device: number;
  bridge: number;
  /** What somebody has written down of the bridge's neighbours, as this host's own packets go. */
  neighbours: readonly { address: number; mac: number }[];
  /** What the bridge answers for us, and the MACs that it was told to, by address. */
  answers: ReadonlyMap<number, { mac: number; isAsWritten: boolean }>;
  told: ReadonlyMap<number, number>;
  /** Whether a MAC is known to be behind a port of this host. */
  isStation: (mac: number) => boolean;
  /** Whether a port has more MACs than it may: those that the bridge alone has are no difference. */
  isFull: (port: number) => boolean;
};

function whereText(host: MacPlace['host'] | undefined, label = 0): string {
  if (host === undefined) return 'nowhere';
  if (host === 'here') return 'here';
  return `at ${formatHostAddress(host)}${label === 0 ? '' : ` under VNI ${label}`}`;
}

/** Everything that differs, and how many things were compared. */
export function auditNetwork(parts: AuditParts): { checked: number; drifts: Drift[] } {
  const drifts: Drift[] = [];
  let checked = 0;
  for (const { id, best } of parts.macs) {
    if (id.kind !== 'mac') continue;
    checked++;
    const wanted = best.source === 'local' ? 'here' : best.peer;
    const place = parts.place(id.mac);
    const has = place?.host;
    const label = wanted === 'here' ? 0 : (best.label ?? 0);
    if (has === wanted && place?.label === label) continue;
    const text = `${formatMac(id.mac)} is ${whereText(wanted, label)}, the data path has it ${whereText(has, place?.label)}`;
    drifts.push({ kind: 'table', id, text });
  }
  for (const { id, best } of parts.bindings) {
    if (id.kind !== 'mac+ip') continue;
    checked++;
    const has = parts.binding(id.address)?.mac;
    if (has === best.mac) continue;
    const other = has === undefined ? 'nobody' : formatMac(has);
    const text = `${formatHostAddress(id.address)} is ${formatMac(best.mac)}, the data path has it as ${other}`;
    drifts.push({ kind: 'table', id, text });
  }
  checked += bridgeDrifts(parts, drifts) + neighbourDrifts(parts, drifts);
  checked += answerDrifts(parts, drifts);
  return { checked, drifts };
}

/** This host's own packets go by its neighbours; what it asked for itself follows by itself. */
function neighbourDrifts({ neighbours, binding }: AuditParts, drifts: Drift[]): number {
  for (const { address, mac } of neighbours) {
    const known = binding(address)?.mac;
    if (known === undefined || known === mac) continue;
    const text = `${formatHostAddress(address)} is ${formatMac(known)}, and a permanent neighbour of this host says ${formatMac(mac)}`;
    drifts.push({ kind: 'neighbour', address, text });
  }
  return neighbours.length;
}

/** What the bridge answers is what it was told, and what it was told is so. */
function answerDrifts({ answers, told, binding }: AuditParts, drifts: Drift[]): number {
  const addresses = new Set([...answers.keys(), ...told.keys()]);
  const whose = (mac: number | undefined): string =>
    mac === undefined ? 'nobody' : formatMac(mac);
  for (const address of addresses) {
    const [wanted, known, answer] = [
      told.get(address),
      binding(address)?.mac,
      answers.get(address),
    ];
    const [has, isAsWritten] = [answer?.mac, answer?.isAsWritten ?? true];
    if (has === wanted && has === known && isAsWritten) continue;
    const changed = isAsWritten ? '' : ', in a state that fanway does not write';
    const text = `${formatHostAddress(address)} is ${whose(known)}; the bridge was told that it is ${whose(wanted)}, and answers for ${whose(has)}${changed}`;
    drifts.push({ kind: 'answer', address, text });
  }
  return addresses.size;
}

function bridgeDrifts(parts: AuditParts, drifts: Drift[]): number {
  let checked = 0;
  for (const entry of parts.bridgeEntries) {
    const { mac, port, isOwn, isStatic } = entry;
    if (isGroupMac(mac) || isOwn || port === parts.bridge) continue;
    checked++;
    if (isStatic && port === parts.device && typeof parts.place(mac)?.host !== 'number') {
      const text = `a static entry of the bridge sends ${formatMac(mac)} into the tunnel, where no host has it`;
      drifts.push({ kind: 'written', mac, text });
      continue;
    }
    const isHere = port !== parts.device;
    if (isHere && (parts.isStation(mac) || parts.isFull(port))) continue;
    // What the tunnel brings in is nobody's of ours: only a station of ours there is wrong.
    if (!isHere && !parts.isStation(mac)) continue;
    const text = isHere
      ? `the bridge has ${formatMac(mac)} behind a port of this host, and nobody knows it there`
      : `${formatMac(mac)} is here, and the bridge sends it into the tunnel`;
    drifts.push({ kind: 'bridge', entry, text });
  }
  return checked;
}
