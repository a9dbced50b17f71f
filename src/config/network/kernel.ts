/**
 * Which networks the kernel can forward for, as far as a request says it.
 * @module
 */
import type { Family, UnderlayAddress } from '../../net/underlay-address.ts';
import { carriageLacks } from '../link/impossible.ts';
import type { UnderlaysRequest } from '../link/underlays.ts';
import type { FieldsOf } from '../row/row.ts';
import type { NETWORK_ROWS } from './rows.ts';

type Asked = FieldsOf<typeof NETWORK_ROWS> &
  Pick<UnderlaysRequest, 'further'> & { outer?: UnderlayAddress | undefined };

/** What a network with rules is told; they come by file, by command and by gossip. */
export const RULED = "it has rules, to which fanway's own processes hold connections";

/** What of a request the programs in the kernel do not know, '' when nothing. */
export function networkLacks(request: Asked, underlay: Family): string {
  if (request.outer !== undefined) {
    return '--outer has hosts known by another address than their own';
  }
  return carriageLacks(request, underlay);
}
