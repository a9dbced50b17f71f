/**
 * The gossip part of the admin socket. What comes in is checked field by field; no path is taken
 * from a client.
 * @module
 */

import { announceCall, joinCall, leaveCall, withdrawCall } from '../../../api/announce.ts';
import {
  type EntryJson,
  type TablePage,
  type TableRequest,
  tableCall,
} from '../../../api/entries.ts';
import type { GossipStatus } from '../../../api/gossip.ts';
import {
  addKeysCall,
  type KeyJson,
  keysCall,
  removeKeyCall,
  useKeyCall,
} from '../../../api/keys.ts';
import { type MemberJson, memberEventsCall, membersCall } from '../../../api/members.ts';
import { refusedError, usageError } from '../../../errors.ts';
import { parseKeyId } from '../../../gossip/base/keyring.ts';
import { formatHostAddress, formatHostPrefix } from '../../../net/underlay-address.ts';
import type { Route } from '../../admin/admin.ts';
import { answerTo } from '../../admin/answer-to.ts';
import { parseAnnouncement } from './announced.ts';
import { sameNames } from './names.ts';
import { nodeName } from './peer-record.ts';
import type { GossipService } from './service.ts';
import { StateDirectory } from './transport/state-directory.ts';
import { conflictJson, ENTRY_KINDS, entryJson, formatEndpoint, memberJson } from './views.ts';

/** Of what is taken, refused or has one name, so many are shown. */
const SHOWN_MAX = 16;
/** Entries in one answer. */
export const TABLE_PAGE_MAX = 10_000;

/** How the channel stands; undefined when nobody asked for gossip. */
export function gossipStatus(service: GossipService): GossipStatus | undefined {
  const { settings, host, reason } = service;
  if (settings === undefined) return undefined;
  const members = host?.node.members() ?? [];
  const self = members.find(({ isSelf }) => isSelf);
  const refused = host?.refusals() ?? [];
  const count = (state: MemberJson['state']): number =>
    members.filter((member) => member.state === state).length;
  return {
    state: host === undefined ? 'stopped' : 'up',
    reason,
    id: host?.id ?? '',
    name: nodeName(settings),
    label: settings.label,
    epoch: self?.epoch ?? 0,
    port: settings.port,
    endpoints: (self?.endpoints ?? []).map(formatEndpoint),
    plaintext: settings.plaintext,
    keys: service.keys(),
    seeds: (host?.seeds() ?? []).map(({ seed, addresses, error, answered }) => ({
      ...{ seed, error, answered },
      addresses: addresses.map(formatHostAddress),
      reason: answered
        ? ''
        : (refused.find(({ address }) => addresses.includes(address))?.sentence ?? ''),
    })),
    members: {
      alive: count('alive'),
      suspect: count('suspect'),
      dead: count('dead'),
      left: count('left'),
    },
    announced: service.announced.map(formatHostPrefix),
    hash: host?.node.summaryHash() ?? '',
    conflicts: (host?.node.conflicts() ?? []).map(conflictJson),
    taken: service.taken.slice(0, SHOWN_MAX),
    sameNames: sameNames(members).slice(0, SHOWN_MAX),
    refused: refused.slice(0, SHOWN_MAX).map(({ address, sentence, ...refusal }) => ({
      ...refusal,
      address: formatHostAddress(address),
      reason: sentence,
    })),
  };
}

/** A page of the table, from entry `from` on. */
function tablePage(service: GossipService, { kind, vni, from }: TableRequest): TablePage {
  const host = service.host;
  if (host === undefined) return { entries: [], next: null };
  const entries: EntryJson[] = [];
  let number = 0;
  const kinds = kind === null ? undefined : ENTRY_KINDS[kind];
  for (const entry of host.node.entries(vni === null ? {} : { vni })) {
    if (kinds?.includes(entry.item.kind) === false) continue;
    if (number++ < from) continue;
    if (entries.length >= TABLE_PAGE_MAX) return { entries, next: from + TABLE_PAGE_MAX };
    entries.push(entryJson(entry, host.id));
  }
  return { entries, next: null };
}

/** Makes this host another member than it was. @throws FanwayError while it takes part. */
function renewIdentity(service: GossipService): void {
  if (service.settings !== undefined) {
    throw refusedError(
      'joined',
      'this host takes part with its old identity: fanway leave first, then fanway join ... --new-identity',
    );
  }
  const state = StateDirectory.open(service.stateDirectory());
  try {
    state.renew();
  } finally {
    state.close();
  }
}

/** @param endIfIdle ends a router that has nothing left to do; true when it ends. */
export function gossipRoutes(service: GossipService, endIfIdle: () => boolean): Route[] {
  const changed = async (work: Promise<void>): Promise<KeyJson[]> => {
    await work;
    return service.keys();
  };
  const idOf = (text: string): number => {
    const id = parseKeyId(text);
    if (id === undefined) {
      throw usageError('bad-key-id', 'a key id has eight hex digits: fanway key list shows them');
    }
    return id;
  };
  return [
    answerTo(membersCall, () => (service.host?.node.members() ?? []).map(memberJson)),
    answerTo(keysCall, () => {
      // No keys at all are those of a cluster in plaintext.
      service.mustRun();
      return service.keys();
    }),
    answerTo(memberEventsCall, ({ after }) => {
      if (after !== null) return service.events.after(after);
      return { ...service.events.after(Number.POSITIVE_INFINITY), lost: 0 };
    }),
    answerTo(tableCall, (request) => tablePage(service, request)),
    answerTo(joinCall, async ({ settings, keys, newIdentity }) => {
      if (newIdentity) renewIdentity(service);
      const outcome = await service.join(settings, keys ?? undefined);
      const status = gossipStatus(service);
      if (status === undefined)
        throw refusedError('left', 'another command has ended gossip again');
      return { outcome, status };
    }),
    answerTo(leaveCall, async () => {
      const left = await service.leave();
      return { left, ending: endIfIdle() };
    }),
    answerTo(announceCall, ({ prefixes, force }) =>
      service.announce(prefixes.map(parseAnnouncement), { force }),
    ),
    answerTo(withdrawCall, ({ prefixes }) => service.withdraw(prefixes.map(parseAnnouncement))),
    answerTo(addKeysCall, ({ keys }) => changed(service.addKeys(keys))),
    answerTo(useKeyCall, ({ id }) => {
      const number = idOf(id);
      return changed(service.changeKeys((keyring) => keyring.use(number)));
    }),
    answerTo(removeKeyCall, ({ id }) => {
      const number = idOf(id);
      return changed(service.changeKeys((keyring) => keyring.remove(number)));
    }),
  ];
}
