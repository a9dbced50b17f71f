/**
 * How long a TCP packet may be that the data process gives a link's device in one piece. Past 64 kB
 * ("BIG TCP", Linux 6.3) each wake-up carries more. The host itself takes them as they are; but an
 * interface that such a packet leaves by cuts it in software where it is longer than its own
 * `gso_ipv4_max_size`, and that costs far more than it saved. So for all that is not the host's own
 * address the ports of the fan's bridge decide.
 * @module
 */
import type { SuperBytes } from '../../api/status.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/ethernet.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../wire/ipv4.ts';
import type { WireSpec } from '../store/link-spec.ts';
import { foreignPorts, type SnapshotLink } from './snapshot.ts';

/** What IPv4 can say, which every kernel takes. */
export const SUPER_BYTES_PLAIN: SuperBytes = {
  toHost: IPV4_PACKET_BYTES_MAX,
  toPorts: IPV4_PACKET_BYTES_MAX,
};

/** Longer ones gained nothing more, and need memory in longer pieces. */
const SUPER_BYTES_MAX = 131_072;
/** An interface's limit counts the Ethernet header, and is itself too long. */
const FRAME_EXTRA_BYTES = ETHERNET_HEADER_BYTES + 1;

export function superBytesOf(
  spec: Pick<WireSpec, 'name' | 'device'>,
  links: readonly SnapshotLink[],
): SuperBytes {
  const device = links.find((link) => link.name === spec.device);
  // A kernel before 6.3 has no such setting: the attribute is missing, and reads as 0.
  if (device === undefined || device.gsoIpv4MaxSize === 0) return SUPER_BYTES_PLAIN;
  const limits = foreignPorts(spec, links).map((port) => port.gsoIpv4MaxSize - FRAME_EXTRA_BYTES);
  const toPorts = Math.max(0, Math.min(SUPER_BYTES_MAX, ...limits));
  return { toHost: SUPER_BYTES_MAX, toPorts };
}
