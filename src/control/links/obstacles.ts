/**
 * What of the host stands in the way of a fan that is up, or would be: for `plan`, `up`, `status` and
 * `doctor` to tell. What fanway can mend without touching what is others' is a change and no obstacle.
 * @module
 */
import { carriesFrames } from '../../encap/encap.ts';
import type { Journal } from '../change/journal.ts';
import {
  forwardingDevices,
  forwardObstacles,
  isForwardDropping,
  legacyObstacles,
  type Obstacle,
  translationObstacles,
} from '../host/forwarding.ts';
import { BRIDGE_NF_CALL_IPTABLES, type Snapshot } from '../host/snapshot.ts';
import type { LinkSpec, WireSpec } from '../store/link-spec.ts';
import { ownedObstacles } from './plan-owned.ts';

export type Obstacles = {
  /** The fan, or a part of its traffic, stands still. */
  obstacles: Obstacle[];
  /** Worth knowing: mended, or of consequence only with something else. */
  notes: string[];
};

const ARP_IGNORE = 'net/ipv4/conf/all/arp_ignore';
/** arp_ignore 8: no answer at all, and the largest of `all` and the device's own counts. */
const ARP_ANSWERS_NOTHING = 8;

/** Everything that a picture of the host tells. `journal`: what was made of the fan, if it is up. */
export function obstaclesOf(spec: LinkSpec, snapshot: Snapshot, journal?: Journal): Obstacles {
  const { filter, tools, sysctls } = snapshot;
  const obstacles = [
    ...underlayObstacles(spec, snapshot),
    ...ownedObstacles(spec, snapshot),
    ...forwardObstacles(spec, filter, tools.nft),
    ...legacyObstacles(forwardingDevices(spec), snapshot.legacy.forward),
  ];
  if (!tools.nft) obstacles.push(...translationObstacles(spec, filter));
  const notes: string[] = [];
  if (tools.nft && isForwardDropping(filter)) {
    notes.push(
      'chain FORWARD of table ip filter has policy drop (Docker sets it so); fanway puts rules there that let this fan through',
    );
  }
  if (Number(sysctls[ARP_IGNORE] ?? '0') >= ARP_ANSWERS_NOTHING) {
    obstacles.push({
      code: 'arp-ignore',
      message: `net.ipv4.conf.all.arp_ignore is ${sysctls[ARP_IGNORE]}: this host answers no ARP, and containers do not find their gateway; set it to 0, 1 or 2`,
    });
  }
  const isStopped = obstacles.some(({ code }) => code === 'forward-drop');
  if (isStopped && carriesFrames(spec.encap) && sysctls[BRIDGE_NF_CALL_IPTABLES] === '1') {
    notes.push(
      'net.bridge.bridge-nf-call-iptables is 1, so what only crosses the bridge passes these chains too',
    );
  }
  const made = problemsOf(journal);
  return { obstacles: [...obstacles, ...made.obstacles], notes: [...notes, ...made.notes] };
}

/** What could not be made of a link. */
function problemsOf(journal: Journal | undefined): Obstacles {
  const found: Obstacles = { obstacles: [], notes: [] };
  for (const { change, memo } of journal?.entries ?? []) {
    if (memo.problem === undefined) continue;
    const stops = change.kind === 'sysctl' && /forward/.test(change.key);
    if (stops) found.obstacles.push({ code: 'not-forwarding', message: memo.problem });
    else found.notes.push(memo.problem);
  }
  return found;
}

/**
 * The same for a layer-2 network, in which this host routes nothing: only what frames meet counts.
 */
export function wireObstacles(spec: WireSpec, snapshot: Snapshot, journal?: Journal): Obstacles {
  const { filter, tools, sysctls, legacy } = snapshot;
  const made = problemsOf(journal);
  // Frames that only cross a bridge pass the chains of routed packets where this setting says so.
  const passAll = sysctls[BRIDGE_NF_CALL_IPTABLES] === '1';
  const chains = filter.chains.filter(({ family }) => passAll || family === 'bridge');
  const obstacles = [
    ...underlayObstacles(spec, snapshot),
    ...forwardObstacles(spec, { ...filter, chains }, tools.nft),
    ...(passAll ? legacyObstacles(forwardingDevices(spec), legacy.forward) : []),
    ...made.obstacles,
  ];
  return { obstacles, notes: made.notes };
}

/** A card that keeps its address and carries nothing: no other piece of the fan is missing. */
function underlayObstacles({ local }: WireSpec, snapshot: Snapshot): Obstacle[] {
  const { links, addresses, ipv6Addresses } = snapshot.underlay ?? snapshot;
  const own = [...addresses, ...ipv6Addresses];
  const index = own.find(({ address }) => address === local)?.index;
  const card = links.find((link) => link.index === index);
  if (card === undefined || (card.up && card.carrier)) return [];
  const message = card.up
    ? `underlay device ${card.name} has no carrier: look at its cable or its other end`
    : `underlay device ${card.name} is down: ip link set ${card.name} up`;
  return [{ code: 'underlay-down', message }];
}
