/**
 * Who forwards for a link of either kind.
 * @module
 */
import { choice } from '../row/kinds.ts';
import { asked } from '../row/row.ts';
import { DATAPATHS } from './modes.ts';

export const DATAPATH_ROWS = {
  /** Said, `userspace` has a link go over to it; not said, one that runs stays as it is. */
  datapath: asked(choice(DATAPATHS), {
    ...{ key: 'datapath', default: 'userspace', onChange: 'follow' },
    doc: 'Who forwards: processes of fanway, the kernel (vxlan over IPv4), or the kernel where it can.',
    help: [
      '--datapath kernel|auto',
      'the kernel forwards, or does where it can (default userspace)',
    ],
  }),
} as const;
