/**
 * The number of a network device: far less work for kernel and memory than all that netlink says of one.
 * @module
 */
import { libc } from '../libc/libc.ts';

/** The ifindex of a device of this network namespace, undefined where there is none of that name. */
export function deviceIndex(name: string): number | undefined {
  const index = libc.if_nametoindex(name);
  return index === 0 ? undefined : index;
}
