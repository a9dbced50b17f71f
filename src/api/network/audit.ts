/**
 * The audit of layer-2 networks on the admin socket: what is decided against what forwards.
 * @module
 */
import { post } from '../call.ts';
import { count, fields, flag, list, text } from '../reader.ts';

/** What was found of one network. */
export type AuditJson = {
  network: string;
  /** Things that were compared. */
  checked: number;
  /** Things that differ, and the first of them in words. */
  drift: number;
  drifts: string[];
  /** Those that were put right. */
  repaired: number;
};

/** `repair`: what differs is put right. */
export const auditCall = post<{ repair: boolean }, AuditJson[]>(
  '/v1/networks/audit',
  fields({ repair: flag }),
  list(
    fields<AuditJson>({
      ...{ network: text, checked: count, drift: count, drifts: list(text), repaired: count },
    }),
  ),
);
