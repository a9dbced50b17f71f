/**
 * Who follows a BGP speaker: whatever makes claims of what it knows, and routes of what is here.
 * @module
 */
import type { EntryChange } from '../../../bgp/rib/imports.ts';
import type { Speaker } from '../../../bgp/speaker.ts';

export type SpeakerFollower = {
  /** The speaker whose table counts from now on, before it begins; undefined = there is none. */
  follow(speaker: Speaker | undefined): void;
  /** Something is elsewhere now, or nowhere. */
  changed(change: EntryChange): void;
  /** Entries that were not used because no way leads to their tunnel endpoint, counted. */
  readonly unreachable?: number;
  /** Links may have come, gone or changed; the speaker knows its networks already. */
  refresh(): void;
};
