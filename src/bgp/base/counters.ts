/**
 * What happened to one neighbour's messages and routes, counted since the speaker began.
 * @module
 */

export type NeighbourCounters = {
  /** Times that the session was established, and that it was lost again. */
  established: number;
  dropped: number;
  updatesReceived: number;
  /** Attributes passed by, and UPDATEs taken as withdrawals (RFC 7606). */
  discarded: number;
  withdrawnByFault: number;
  /** Sessions that a malformed message ended. */
  resets: number;
  /** Routes refused: through us before (AS, originator, our own next hop), or by policy. */
  looped: number;
  refused: number;
  /** Routes of families and types that are not known here. */
  passedBy: number;
  /** Connections from the neighbour that were not taken. */
  connectionsRefused: number;
};

export function neighbourCounters(): NeighbourCounters {
  return {
    established: 0,
    dropped: 0,
    updatesReceived: 0,
    discarded: 0,
    withdrawnByFault: 0,
    resets: 0,
    looped: 0,
    refused: 0,
    passedBy: 0,
    connectionsRefused: 0,
  };
}
