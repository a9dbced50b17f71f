/**
 * A podman network on the bridge of a fan, as the file that podman keeps it in. `podman network create`
 * refuses every subnet that the host has an address of, which the fan's own bridge is; a file it takes.
 * @module
 */
import { createHash } from 'node:crypto';
import { broadcastOf, formatPrefix, networkOf, type Prefix } from '../../net/prefix.ts';
import { type EngineFan, text } from '../fan.ts';

export const PODMAN_OWNER = 'podman';
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/;
/** The mark of a file that is ours; podman keeps labels and shows them. */
const LABEL = 'fanway';
/** podman that knows `unmanaged`: a bridge that is somebody else's (netavark 1.14). */
const UNMANAGED_SINCE = [5, 4] as const;

export function isPodmanNetworkName(name: string): boolean {
  return NETWORK_NAME.test(name);
}

/** Whether a podman of this version (`5.4.2`) is at least another. */
export function isSince(version: string, wanted: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [since, and] = wanted;
  return major > since || (major === since && minor >= and);
}

/** Whether a podman of this version leaves a bridge alone when it is told to. */
export function knowsUnmanaged(version: string): boolean {
  return isSince(version, UNMANAGED_SINCE);
}

/** The lease range inside a block: neither the host's addresses nor the slice's first and last. */
function leaseRange(fan: EngineFan, range: Prefix): { start_ip: string; end_ip: string } {
  const first = Math.max(networkOf(range), fan.first);
  const last = Math.min(broadcastOf(range), fan.last);
  return { start_ip: text(first), end_ip: text(last) };
}

/**
 * The file's content. Made again from the same fan it is the same but for `created`, so that podman
 * does not take it for another network.
 * @param created when the network was made first, ISO 8601
 */
export function podmanNetwork(
  name: string,
  fan: EngineFan,
  range: Prefix,
  options: { created: string; unmanaged: boolean },
): object {
  return {
    name,
    // 64 hex digits; one for each name and bridge.
    id: createHash('sha256').update(`fanway ${name} ${fan.bridge}`).digest('hex'),
    driver: 'bridge',
    network_interface: fan.bridge,
    created: options.created,
    subnets: [
      {
        subnet: formatPrefix(fan.network),
        gateway: text(fan.gateway),
        lease_range: leaseRange(fan, range),
      },
    ],
    ipv6_enabled: false,
    internal: false,
    dns_enabled: false,
    labels: { [LABEL]: fan.bridge },
    options: { mtu: String(fan.mtu), ...(options.unmanaged && { mode: 'unmanaged' }) },
    ipam_options: { driver: 'host-local' },
  };
}

/** What a file says of a network, as far as it matters here; undefined for what is none. */
export function readPodmanNetwork(
  content: string,
): { ours: boolean; bridge: string; created: string; subnets: string[] } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return undefined;
  }
  const field = (of: unknown, key: string): unknown =>
    typeof of === 'object' && of !== null ? Reflect.get(of, key) : undefined;
  const word = (of: unknown): string => (typeof of === 'string' ? of : '');
  if (word(field(value, 'name')) === '') return undefined;
  const subnets = field(value, 'subnets');
  return {
    ours: typeof field(field(value, 'labels'), LABEL) === 'string',
    bridge: word(field(value, 'network_interface')),
    created: word(field(value, 'created')),
    subnets: Array.isArray(subnets) ? subnets.map((one) => word(field(one, 'subnet'))) : [],
  };
}
