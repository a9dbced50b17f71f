/**
 * Notifications of bridges: what they learn and forget, their ports that come and go, and what is written of
 * neighbours that they answer for. The kernel filters out all other neighbours of IP, which change all the time.
 * @module
 */
import { BPF, BPF_ACCEPT, BPF_NETLINK_ATTRIBUTE, type BpfInstruction } from '../sockets/bpf.ts';
import {
  AF_BRIDGE,
  ANSWER_PROTOCOL,
  type Link,
  NDA,
  type NeighbourRecord,
  RTM,
  readNeighbour,
} from './codec.ts';
import { readLink } from './link-codec.ts';
import { asLoaded } from './monitor.ts';
import { type ListenOptions, listen, type NetlinkMessage } from './socket.ts';

const RTNLGRP_LINK = 1;
const RTNLGRP_NEIGH = 3;
/** Behind the netlink header: the family of a neighbour message. */
const FAMILY_OFFSET = 16;
/** Behind `struct ndmsg`. */
const ATTRIBUTES_OFFSET = FAMILY_OFFSET + 12;
/** Behind the length and type of an attribute. */
const VALUE_OFFSET = 4;

/** What happened, in the kernel's order. `new` also reports a change of what was there before. */
export type BridgeNews =
  | { kind: 'forwarding'; action: 'new' | 'deleted'; entry: NeighbourRecord }
  /** A neighbour that bears our mark was written, by us or by somebody else. */
  | { kind: 'answer'; entry: NeighbourRecord }
  | { kind: 'link'; action: 'new' | 'deleted'; link: Link }
  /** Notifications were dropped: read the tables anew. */
  | { kind: 'lost'; code: string };

/** Keeps messages of links, and of neighbours those of bridges and those that bear our mark. */
export const BRIDGE_FILTER: readonly BpfInstruction[] = [
  [BPF.LOAD_HALF, 0, 0, 4],
  [BPF.JUMP_EQUAL, 2, 0, asLoaded(RTM.NEWNEIGH, 2)],
  [BPF.JUMP_EQUAL, 1, 0, asLoaded(RTM.DELNEIGH, 2)],
  [BPF.RETURN, 0, 0, BPF_ACCEPT],
  [BPF.LOAD_BYTE, 0, 0, FAMILY_OFFSET],
  [BPF.JUMP_EQUAL, 6, 0, AF_BRIDGE],
  [BPF.LOAD_CONSTANT, 0, 0, ATTRIBUTES_OFFSET],
  [BPF.LOAD_CONSTANT_TO_X, 0, 0, NDA.PROTOCOL],
  [BPF.LOAD_WORD, 0, 0, BPF_NETLINK_ATTRIBUTE],
  // Without it this is 0, and what is read next is the message's type.
  [BPF.COPY_TO_X, 0, 0, 0],
  [BPF.LOAD_BYTE_AT_X, 0, 0, VALUE_OFFSET],
  [BPF.JUMP_EQUAL, 0, 1, ANSWER_PROTOCOL],
  [BPF.RETURN, 0, 0, BPF_ACCEPT],
  [BPF.RETURN, 0, 0, 0],
];

function readNews({ type, payload }: NetlinkMessage): BridgeNews | undefined {
  if (type === RTM.NEWNEIGH || type === RTM.DELNEIGH) {
    const entry = readNeighbour(payload);
    const action = type === RTM.NEWNEIGH ? 'new' : 'deleted';
    if (entry?.bridge === true) return { kind: 'forwarding', action, entry };
    const isAnswer = entry?.protocol === ANSWER_PROTOCOL && action === 'new';
    return isAnswer ? { kind: 'answer', entry } : undefined;
  }
  if (type === RTM.NEWLINK || type === RTM.DELLINK) {
    const link = readLink(payload);
    const action = type === RTM.NEWLINK ? 'new' : 'deleted';
    return link === undefined ? undefined : { kind: 'link', action, link };
  }
  return undefined;
}

/** Subscribes in the namespace the main thread is in. Returns the function that ends it. */
export function watchBridges(
  listener: (news: BridgeNews) => void,
  options: ListenOptions,
): () => void {
  const filter: ListenOptions['filter'] = {
    follow(attach) {
      attach(BRIDGE_FILTER);
      return () => undefined;
    },
  };
  return listen(
    [RTNLGRP_LINK, RTNLGRP_NEIGH],
    (message) => {
      const news = readNews(message);
      if (news !== undefined) listener(news);
    },
    (code) => listener({ kind: 'lost', code }),
    { ...options, filter },
  );
}
