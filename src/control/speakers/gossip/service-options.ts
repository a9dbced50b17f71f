/**
 * What gossip needs of the router that it lives in.
 * @module
 */
import type { Asked } from '../../../gossip/seal/asked.ts';
import type { Log } from '../../../log.ts';
import type { EntryService } from '../../entries/entry-service.ts';
import type { LinkSpec, NetworkSpec } from '../../store/link-spec.ts';
import type { RunDirectory } from '../../store/run-directory.ts';
import type { NodeFollower } from './followers.ts';
import type { HostView } from './peer-record.ts';

export type GossipServiceOptions = {
  run: RunDirectory;
  log: Log;
  /** Where what is learned of the links' entries goes. */
  entries: Pick<EntryService, 'update' | 'withdraw' | 'listen'>;
  /** The links that are up. */
  specs: () => readonly LinkSpec[];
  /** The layer-2 networks that are up. */
  networks?: () => readonly NetworkSpec[];
  /** Who makes claims of what is announced, beside the fans' feed. */
  followers?: readonly NodeFollower[];
  /** The host's links, addresses and routes. */
  look: () => Promise<HostView>;
  /** Where state is kept unless settings say otherwise. */
  stateDirectory: string;
  /** Our answer to a member's question; undefined when it is none that we know. */
  answer: (asked: Asked) => Promise<string> | undefined;
  /** A configuration file says whether there is gossip here. */
  byFile: boolean;
};
