/**
 * What is noted of a change, so that it can be taken back.
 * @module
 */

/** What undoing a change needs beyond the change itself. */
export type Memo = {
  /** The interface that was made. */
  index?: number;
  /** The name it bore until it carried our mark. */
  temporaryName?: string;
  /** A sysctl's value before us; null = the key was not there. */
  previous?: string | null;
  /** Who could have used it then, for a setting that is shared (reliance.ts). */
  before?: string[];
  /** A process we started, and the start time the kernel gave it (proc(5), field 22). */
  pid?: number;
  startTime?: string;
  /** What dnsmasq hands out, as text. */
  ranges?: string;
  /** What of it cannot be done on this host, for people; '' when nothing. */
  note?: string;
  /** We made it after all, although something was to be taken over. */
  made?: boolean;
  /** It was so before us: nothing to undo. */
  foreign?: boolean;
  /** Why it could not be made, where the fan goes on without it: a sentence for status. */
  problem?: string;
  /** Digests of each nftables chain of ours: its text, and what the kernel made of it. */
  chains?: Record<string, { text: string; print: string }>;
  /** The kernel can say which bridge a frame is in. */
  byBridge?: boolean;
};
