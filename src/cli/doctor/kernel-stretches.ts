/**
 * Kernel versions with faults that a tunnel suffers from and no call tells of.
 *
 * By the release alone, which is all that a kernel says of itself: a distribution may have mended
 * its own, and says so in its changelog.
 * @module
 */

/** A stretch of releases, both ends within it: [major, minor, patch]. */
type Release = readonly [number, number, number];
export type Stretch = { name: string; from: Release; to: Release; cost: string };

export const BAD_STRETCHES: readonly Stretch[] = [
  {
    // Begins with b10b446ce7ad, ends with 78effd896eee and 5f17ae0f595a.
    name: 'sound UDP trains',
    from: [7, 0, 0],
    to: [7, 1, 4],
    cost: 'a card that cuts trains of equal datagrams itself may spoil them although the send succeeds, and a TCP stream falls to a few Mb/s: members of a cluster find out and send otherwise; without gossip run links with --offload off, or ethtool -K DEVICE tx-udp-segmentation off',
  },
  {
    name: 'veth that never stalls',
    from: [6, 16, 0],
    to: [6, 17, 9],
    cost: 'the queue of a veth may stop for ever under load, and with it a container: a newer kernel mends it, taking the veth down and up again frees it',
  },
];

/** `7.1.4-arch1` and the like; a candidate (`7.0-rc3`) counts as what it becomes. */
function parseRelease(text: string): Release | undefined {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (match === null) return undefined;
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

function compare(a: Release, b: Release): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** Whether a kernel's release lies in a stretch; undefined when the release says nothing. */
export function isWithin(release: string, { from, to }: Stretch): boolean | undefined {
  const parsed = parseRelease(release);
  if (parsed === undefined) return undefined;
  return compare(parsed, from) >= 0 && compare(parsed, to) <= 0;
}

/** `7.0.0 to 7.1.4`. */
export function stretchText({ from, to }: Stretch): string {
  return `${from.join('.')} to ${to.join('.')}`;
}
