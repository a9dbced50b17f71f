/**
 * The connection over which a node pulls many blocks at once: it comes about slowly or not at all,
 * carries so many bytes a second, and breaks when a path is cut or an end is gone.
 * @module
 */
import type { PullSink, Want } from '../../src/gossip/api.ts';
import type { Endpoint, NodeId, RawBlock } from '../../src/wire/gossip/types.ts';
import { Host } from './host.ts';
import type { Scheduler } from './scheduler.ts';
import type { ImpairedWire } from './wire.ts';

/** After so long without an answer an end gives up. */
const STALL_MS = 5_000;
/** What the serving end sends to one client. */
const BYTES_PER_SECOND = 1_000_000;
/** How often an end that stands still is looked at again. */
const LOOK_MS = 20;

function bytesOf(blocks: readonly RawBlock[]): number {
  return blocks.reduce((sum, { body, signature }) => sum + body.length + signature.length, 0);
}

/**
 * Asks the host at `to`, if it is `peer`, for `wants`. Nothing reaches `sink` before this returns,
 * nor once `isWanted` says that the asking process is gone.
 */
export function openPull(
  scheduler: Scheduler,
  wire: ImpairedWire,
  client: Host,
  to: Endpoint,
  peer: NodeId,
  wants: Want[],
  sink: PullSink,
  isWanted: () => boolean,
): void {
  const end = (ok: boolean, delayMs: number) =>
    scheduler.after(delayMs, () => {
      if (!isWanted()) return;
      if (!client.isAwake) return end(ok, LOOK_MS);
      sink.end(ok);
    });
  const server = wire.stationAt(to.address);
  const isOpen = () =>
    server !== undefined &&
    wire.isOpen(client.index, server.index) &&
    wire.isOpen(server.index, client.index);
  if (!(server instanceof Host) || !isOpen()) return end(false, STALL_MS);
  const life = server.life;
  const delayMs = wire.delayMs(client.index, server.index);

  const serve = (pieces: Iterator<RawBlock[]>) => {
    if (!isWanted()) return;
    if (server.life !== life || !isOpen()) return end(false, STALL_MS);
    if (!server.isAwake) return scheduler.after(LOOK_MS, () => serve(pieces));
    const piece = pieces.next();
    if (piece.done) return end(true, delayMs);
    const sizeBytes = bytesOf(piece.value);
    wire.count(server.index, sizeBytes);
    scheduler.after(delayMs + (sizeBytes / BYTES_PER_SECOND) * 1000, () =>
      take(piece.value, pieces),
    );
  };
  const take = (blocks: RawBlock[], pieces: Iterator<RawBlock[]>) => {
    if (!isWanted()) return;
    if (!client.isAwake) return scheduler.after(LOOK_MS, () => take(blocks, pieces));
    sink.blocks(blocks);
    serve(pieces);
  };
  scheduler.after(delayMs * 3, () => {
    if (server.node === undefined || server.identity.id !== peer) return end(false, delayMs);
    serve(server.node.serve(wants)[Symbol.iterator]());
  });
}
