/**
 * What the attributes of a route say of where it leads, read once for each set of attributes: half a
 * million routes have some hundred sets among them. Each path points to its own, as looking it up
 * three times a route would be most of the work.
 * @module
 */
import type { Attributes } from '../../wire/bgp/attributes.ts';
import { decodeCommunity } from '../../wire/bgp/communities.ts';
import { PmsiType, TunnelType } from '../../wire/bgp/iana.ts';
import { importKeys } from '../base/targets.ts';

export type Meaning = {
  /** Of the MAC's moves (RFC 7432 §15); 0 where nothing is said. */
  readonly sequence: number;
  readonly sticky: boolean;
  /** The network's router (RFC 7432 §10.1). */
  readonly gateway: boolean;
  /** It routes: the R bit of its neighbour advertisements (RFC 9047 §2.1). */
  readonly router: boolean;
  /** u48, null where none is told (RFC 9135 §9). */
  readonly routerMac: number | null;
  /** VXLAN, or nothing said of it. */
  readonly isVxlan: boolean;
  /** Floods are copies of their own (PMSI ingress replication). */
  readonly isIngressReplication: boolean;
  /** The VNI that floods carry. */
  readonly floodLabel: number;
  /** Keys under which a network may import it. */
  readonly targets: readonly string[];
  /** The networks that import one of them, as `of` found; another has to look itself. */
  importers: { readonly of: object; readonly vnis: readonly number[] } | undefined;
};

/** RFC 9047 §2.1. */
const ND_ROUTER = 1;

function read({ extended = [], pmsi }: Attributes): Meaning {
  let [sequence, sticky, gateway, router] = [0, false, false, false];
  let hasMobility = false;
  let routerMac: number | null = null;
  const tunnels: number[] = [];
  const targets: string[] = [];
  for (const raw of extended) {
    const community = decodeCommunity(raw);
    switch (community.kind) {
      case 'mac-mobility':
        // Of several the first counts.
        if (!hasMobility) ({ sequence, sticky } = community);
        hasMobility = true;
        break;
      case 'default-gateway':
        gateway = true;
        break;
      case 'arp-nd':
        router = (community.flags & ND_ROUTER) !== 0;
        break;
      case 'router-mac':
        routerMac = community.mac;
        break;
      case 'encapsulation':
        tunnels.push(community.tunnelType);
        break;
      case 'route-target':
        targets.push(...importKeys(raw));
        break;
      default:
    }
  }
  return {
    ...{ sequence, sticky, gateway, router, routerMac, targets },
    isVxlan: tunnels.length === 0 || tunnels.includes(TunnelType.Vxlan),
    isIngressReplication: pmsi?.type === PmsiType.IngressReplication,
    floodLabel: pmsi?.label ?? 0,
    importers: undefined,
  };
}

const known = new WeakMap<Attributes, Meaning>();

/** `attributes` must not change afterwards. */
export function meaningOf(attributes: Attributes): Meaning {
  let meaning = known.get(attributes);
  if (meaning === undefined) {
    meaning = read(attributes);
    known.set(attributes, meaning);
  }
  return meaning;
}
