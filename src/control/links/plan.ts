/**
 * The plan: from what was asked for and what is on the host to the ordered list of changes, or to
 * every reason why not. A pure function: it reads nothing and touches nothing, so `fanway plan`
 * prints exactly what `fanway up` then does.
 * @module
 */

import { MTU_BYTES_MIN } from '../../config/link/device.ts';
import { FAN_ROWS } from '../../config/link/fan-rows.ts';
import { impossibleFan } from '../../config/link/impossible.ts';
import { natText } from '../../config/link/nat.ts';
import { rateDifferences, withRate } from '../../config/link/rate.ts';
import { underlayFamily } from '../../config/link/underlays.ts';
import type { NetworkRequest } from '../../config/network.ts';
import { type FanRequest, isSameFan, overlayName, portOf } from '../../config/request.ts';
import { carriedOf, requestDifferences, specDifferences } from '../../config/row/row.ts';
import { ENCAPS, overheadOf } from '../../encap/encap.ts';
import { messageOf } from '../../errors.ts';
import {
  bridgeNameOf,
  checkFan,
  deviceNameOf,
  type FanMap,
  gatewayOf,
  hasIpv4,
  INTERFACE_NAME_CHARS_MAX,
  NO_OVERLAY,
  sliceOf,
} from '../../net/fan.ts';
import { bridgeNameOf6, deviceNameOf6 } from '../../net/fan6.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import {
  ADDRESS_BITS,
  type Family,
  familyOf,
  noHost,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import { IPV6_MTU_MIN } from '../../wire/ipv6.ts';
import type { Change } from '../change/change.ts';
import { type Adoption, addressLengthOf, findAdoption } from '../host/bridge/adoption.ts';
import { aliasOf, type FanRecord, type Snapshot } from '../host/snapshot.ts';
import {
  type AnySpec,
  isKernels,
  type LinkSpec,
  type NetworkSpec,
  overheadOfLink,
  overlaysOf,
  type SixSpec,
  SOURCE_PORTS_DEFAULT,
  type WireSpec,
} from '../store/link-spec.ts';
import { besideMoved, besideOf, planBeside } from './beside.ts';
import { checkWire, judgeOverlay } from './conflicts.ts';
import {
  datapathOf,
  keptDatapath,
  movedSpec,
  notesOfDatapath,
  unmoved,
  withDatapath,
} from './datapath/choose.ts';
import { obstaclesOf } from './obstacles.ts';
import { addressesOf, changesOf } from './plan-changes.ts';
import { planOwned } from './plan-owned.ts';
import { checkOverlay6, checkSix, notesOfSix, sixOf, withOverlay6 } from './six.ts';
import { furtherOf, hostsOf, type ResolvedUnderlays } from './underlay/further.ts';
import {
  formatHost,
  isResolved,
  type Keep,
  type Refusal,
  type ResolvedUnderlay,
  resolveUnderlay,
} from './underlay/resolve.ts';

export type Plan<Spec extends AnySpec = LinkSpec> =
  | {
      outcome: 'changes';
      spec: Spec;
      changes: Change[];
      warnings: string[];
      /** The changes are to a link that runs: what that is asked for from then on. */
      joined?: Spec extends NetworkSpec ? NetworkRequest : FanRequest;
    }
  /** The same link runs already. */
  | { outcome: 'same'; spec: Spec; message: string }
  | { outcome: 'refused'; refusals: Refusal[] };

/**
 * What `up` would do for this request on this host.
 * @param keep the underlay address that the fan had
 */
export function planFan(asked: FanRequest, snapshot: Snapshot, keep?: Keep): Plan {
  const request = keptDatapath(asked, snapshot.fans);
  const { device } = request;
  const host = unmoved(asked, snapshot);
  if (device === undefined) return planPlain(request, host, keep);
  return planOwned({ ...request, device }, host, planPlain, keep);
}

/** The same for a fan that makes its own device, and all that is around it. */
function planPlain(request: FanRequest, snapshot: Snapshot, keep?: Keep): Plan {
  const resolved = resolveUnderlay(request.underlay, snapshot, keep);
  if (!isResolved(resolved)) return { outcome: 'refused', refusals: [resolved] };
  const { local, underlay, device: underlayDevice } = resolved;
  const map = { overlay: request.overlay, underlay };

  const refusals: Refusal[] = [
    ...(hasIpv4(request.overlay) ? checkOverlay(map, local) : []),
    ...(request.overlay6 === undefined ? [] : checkOverlay6(request.overlay6, underlay)),
  ];
  if (refusals.length > 0) return { outcome: 'refused', refusals };

  const { overlay6 } = request;
  const beside = besideOf(request, snapshot.fans);
  if (overlay6 !== undefined && beside !== undefined) {
    const both = besideMoved(request, beside);
    if (both !== undefined) return planPlain(both, snapshot, keep);
    return planBeside({ ...request, overlay6 }, beside, resolved, snapshot);
  }

  const slice = hasIpv4(request.overlay) ? sliceOf(map, local) : NO_OVERLAY;
  const six = overlay6 && sixOf(overlay6, underlay, local);
  const name = nameOf(request, slice, six);
  if (typeof name !== 'string') return { outcome: 'refused', refusals: [name] };
  const found = furtherOf(request, resolved, snapshot);
  if ('refusals' in found) return { outcome: 'refused', refusals: found.refusals };
  const { underlayMtu, notes: ofUnderlays, ...underlays } = found;
  const at = { ...{ local, underlay, slice, name, underlayMtu, underlays }, ...(six && { six }) };
  const spec = withDatapath(request, specOf(request, at), snapshot);
  if ('code' in spec) return { outcome: 'refused', refusals: [spec] };

  const running = snapshot.fans.find((fan) => isSameFan(fan.request, request));
  if (running !== undefined) return planAgainst(running, { request, spec });

  const adoption = findAdoption(spec, addressesOf(request, spec), snapshot);
  refusals.push(...checkBridge(request, spec, snapshot));
  refusals.push(...checkMtu(request, spec, underlayDevice.name));
  refusals.push(...impossibleFan(request), ...checkSix(request, spec, snapshot));
  const { inUse, warnings } = judgeOverlay(request, snapshot, adoption);
  refusals.push(...inUse, ...checkNames(spec, request, snapshot, adoption));
  refusals.push(...checkWire(spec, snapshot), ...checkDhcp(request, snapshot));
  if (refusals.length > 0) return { outcome: 'refused', refusals };

  warnings.push(...notesOf(request, spec, snapshot, resolved), ...ofUnderlays);
  const { obstacles, notes } = obstaclesOf(spec, snapshot);
  warnings.push(...obstacles.map(({ message }) => message), ...notes);
  const changes = changesOf(request, spec, snapshot, adoption);
  return { outcome: 'changes', spec, changes, warnings };
}

function checkDhcp(request: FanRequest, { tools }: Snapshot): Refusal[] {
  if (!request.dhcp || tools.dnsmasq) return [];
  return [
    {
      code: 'no-dnsmasq',
      message:
        'dhcp needs dnsmasq, which is not on this host: install it (Debian: apt-get install dnsmasq-base), or leave dhcp out and address containers yourself',
    },
  ];
}

/** What is worth a sentence of a fan that can be. */
function notesOf(
  request: FanRequest,
  spec: LinkSpec,
  snapshot: Snapshot,
  { local, device, floating }: ResolvedUnderlay,
): string[] {
  const notes: string[] = [];
  if (spec.innerMtu < IPV6_MTU_MIN) {
    notes.push(`MTU ${spec.innerMtu} is under ${IPV6_MTU_MIN}: no IPv6 inside (RFC 8200)`);
  }
  notes.push(...notesOfSix(spec, snapshot));
  if (floating && request.underlay.kind !== 'address') {
    notes.push(
      `${formatHost(local, ADDRESS_BITS[familyOf(local)])} is the only address of ${device.name}, and may be a floating one: if this host has another at times, name that`,
    );
  }
  if (request.masquerade && hasIpv4(request.overlay) && !snapshot.tools.nft) {
    notes.push('nft is not here: containers reach the overlay, but nothing beyond it');
  }
  return [...notes, ...notesOfDatapath(spec)];
}

/**
 * What stands for a fan that is wanted and cannot be yet, its host address unknown: good for a
 * line of status, never for the data plane.
 */
export function placeholderSpec(request: FanRequest): LinkSpec {
  const name = request.bridge ?? overlayName(request);
  const nowhere = { address: 0, length: 0 };
  const { length } = request.underlay;
  const local = noHost(underlayFamily(request.underlay));
  const underlay = { address: local, length };
  const at = { local, underlay, slice: nowhere, name, underlayMtu: 0 };
  return { ...specOf(request, at), innerMtu: 0 };
}

/** The bridge's name, which is the link's. */
function nameOf(request: FanRequest, slice: Prefix, six?: SixSpec): string | Refusal {
  if (request.bridge !== null) return request.bridge;
  if (six !== undefined && !hasIpv4(request.overlay)) return bridgeNameOf6(six.slice);
  try {
    return bridgeNameOf(slice);
  } catch (error) {
    return { code: 'name-too-long', message: messageOf(error) };
  }
}

function specOf(
  request: FanRequest,
  at: {
    local: UnderlayAddress;
    underlay: UnderlayPrefix;
    slice: Prefix;
    name: string;
    underlayMtu: number;
    underlays?: ResolvedUnderlays;
    six?: SixSpec;
  },
): LinkSpec {
  const { six } = at;
  const isSixAlone = six !== undefined && !hasIpv4(request.overlay);
  return {
    ...carriedOf(FAN_ROWS, request),
    name: at.name,
    device: isSixAlone ? deviceNameOf6(six.slice) : deviceNameOf(at.slice),
    overlay: request.overlay,
    underlay: at.underlay,
    local: at.local,
    slice: at.slice,
    gateway: gatewayOf(at.slice),
    // Nothing is sent in this network where there is no IPv4; the IPv6 one is its own.
    vni: isSixAlone ? six.vni : (request.vni ?? request.overlay.address >>> 8),
    port: portOf(request),
    underlayMtu: at.underlayMtu,
    innerMtu: request.mtu ?? innerMtuOf(request, at.underlayMtu, familyOf(at.local)),
    sourcePorts:
      request.sourcePort === 'fixed' || (request.nat?.keepAliveSeconds ?? 0) > 0
        ? 1
        : SOURCE_PORTS_DEFAULT,
    ...(request.nat !== undefined && { nat: request.nat }),
    ...at.underlays,
    ...(six !== undefined && {
      six: { ...six, vni: (isSixAlone ? request.vni : null) ?? six.vni },
    }),
  };
}

/** The inner MTU in bytes over an underlay of `underlayMtu` bytes. */
export function innerMtuOf(
  request: Pick<FanRequest, 'encap' | 'mtu'>,
  underlayMtu: number,
  underlay: Family,
): number {
  const overhead = overheadOf(ENCAPS[request.encap], underlay);
  const computed = Math.min(underlayMtu, 65535) - overhead;
  return request.mtu === null ? computed : Math.min(request.mtu, computed);
}

/** The overlay has a fan already: the same one, or one in the way. */
function planAgainst(running: FanRecord, wanted: FanRecord): Plan {
  const { spec } = running;
  const differences = [
    ...specDifferences(FAN_ROWS, spec, wanted.spec),
    ...requestDifferences(FAN_ROWS, running.request, wanted.request),
  ].map(({ key, now, wanted }) => `${key} ${now}, not ${wanted}`);
  const compare = (what: string, now: string, then: string): void => {
    if (now !== then) differences.push(`${what} ${now}, not ${then}`);
  };
  compare('underlay', hostsOf(spec), hostsOf(wanted.spec));
  compare('bridge', spec.name, wanted.spec.name);
  compare('nat', natText(spec.nat), natText(wanted.spec.nat));
  if (wanted.spec.six !== undefined) compare('overlay', overlaysOf(spec), overlaysOf(wanted.spec));
  const overlay = overlaysOf(spec);
  const rates = rateDifferences(spec, wanted.spec);
  const isAsked = datapathOf(running.request) !== datapathOf(wanted.request);
  // What was in the way of `auto` has gone.
  const isElse = isAsked || (!isKernels(spec) && isKernels(wanted.spec));
  // These it can follow while it runs.
  if (differences.length === 0 && (isElse || rates.length > 0)) {
    const isMoved = spec.datapath !== wanted.spec.datapath;
    const alias = aliasOf(spec.name);
    const next = withRate(movedSpec(spec, wanted.spec), wanted.spec);
    return {
      ...{ outcome: 'changes', spec: next },
      joined: withOverlay6(wanted.request, running.request),
      changes: isMoved ? [{ kind: 'tunnel', spec: next, alias }] : [],
      warnings: [...rates, ...(isElse ? notesOfDatapath(wanted.spec) : [])],
    };
  }
  if (differences.length === 0) {
    return {
      outcome: 'same',
      spec,
      message: `${spec.name}: already configured (${overlay} over ${hostOf(spec)}, ${spec.encap})`,
    };
  }
  return {
    outcome: 'refused',
    refusals: [
      {
        code: 'overlay-has-fan',
        message: `overlay ${overlay} has a fan already: ${spec.name} with ${differences.join(', ')}; take it down first (fanway down ${overlay} ${hostOf(spec)}), or use another overlay`,
      },
    ],
  };
}

/** A fan of IPv6 alone has the bridge that an IPv4 one wants. */
function checkBridge(request: FanRequest, spec: LinkSpec, { fans }: Snapshot): Refusal[] {
  // One that could not be yet joins whoever has the bridge.
  const there = fans.find(
    ({ spec: one }) => one.name === spec.name && !hasIpv4(one.overlay) && one.underlayMtu > 0,
  );
  if (there === undefined || !hasIpv4(request.overlay)) return [];
  const overlay = overlaysOf(there.spec);
  return [
    {
      code: 'bridge-has-fan',
      message: `bridge ${spec.name} is that of the fan ${overlay}, which came first: take it down (fanway down ${spec.name}), bring the IPv4 fan up, then ${overlay} beside it`,
    },
  ];
}

/** What is wrong with an IPv4 overlay on this host. */
function checkOverlay(map: FanMap, local: UnderlayAddress): Refusal[] {
  return checkFan(map, local).map((problem) => ({
    code: problem.code.toLowerCase().replaceAll('_', '-'),
    message: problem.message,
  }));
}

/** `172.30.0.28/16`: our underlay address with the underlay's length. */
export function hostOf(spec: WireSpec): string {
  return formatHost(spec.local, spec.underlay.length);
}

function checkMtu(request: FanRequest, spec: LinkSpec, device: string): Refusal[] {
  const overhead = overheadOfLink(spec);
  const largest = spec.underlayMtu - overhead;
  if (request.mtu !== null && request.mtu > largest) {
    return [
      {
        code: 'mtu-too-large',
        message: `MTU ${request.mtu} does not fit: ${device} carries ${spec.underlayMtu} bytes and ${spec.encap} adds ${overhead}, which leaves ${largest}`,
      },
    ];
  }
  if (spec.innerMtu < MTU_BYTES_MIN) {
    return [
      {
        code: 'mtu-too-small',
        message: `${device} has MTU ${spec.underlayMtu}, which leaves ${spec.innerMtu} bytes inside ${spec.encap}; ${MTU_BYTES_MIN} is the least that works: raise the underlay's MTU`,
      },
    ];
  }
  return [];
}

/** Names that are taken by something that is not ours. */
function checkNames(
  spec: LinkSpec,
  request: FanRequest,
  snapshot: Snapshot,
  adoption: Adoption | undefined,
): Refusal[] {
  const refusals: Refusal[] = [];
  for (const [what, name] of [
    ['bridge', spec.name],
    ['device', spec.device],
  ] as const) {
    if (name.length > INTERFACE_NAME_CHARS_MAX) {
      refusals.push({ code: 'name-too-long', message: `${name} is over 15 characters` });
    }
    const link = snapshot.links.find((link) => link.name === name);
    if (link === undefined || name === adoption?.name) continue;
    const kind = link.kind === '' ? 'device' : link.kind;
    const way =
      link.alias === aliasOf(spec.name)
        ? 'it carries our mark but no journal here knows it, so another run directory may own it: take it down there, or delete the device'
        : what === 'bridge' && request.bridge === null
          ? 'choose another name with: bridge NAME'
          : what === 'bridge'
            ? `choose another name, or give it the address ${formatPrefix({ address: spec.gateway, length: addressLengthOf(spec) })}, with which it is taken over`
            : 'rename or delete it first';
    refusals.push({
      code: 'name-taken',
      message: `there is a ${kind} called ${name} on this host already: ${way}`,
    });
  }
  return refusals;
}
