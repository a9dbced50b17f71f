/**
 * Extended communities (RFC 4360, 5668, 7153): eight bytes each, kept as they came, and read where
 * somebody asks what one means. What is not known here is kept and passed on all the same.
 * @module
 */
import {
  AdministratorSubType,
  COMMUNITY_NON_TRANSITIVE,
  CommunityType,
  EvpnSubType,
  OpaqueSubType,
} from './iana.ts';

export const COMMUNITY_BYTES = 8;

/** The eight bytes as two u32: `high` begins with type and sub-type. */
export type RawCommunity = { readonly high: number; readonly low: number };

/**
 * Administrator and number of a route target or route origin; `form` says how the six bytes are
 * shared: 0 = 16 and 32 bits, 1 = IPv4 and 16, 2 = AS of four octets and 16.
 */
export type Administered = { form: 0 | 1 | 2; administrator: number; assigned: number };

export type Community =
  | ({ kind: 'route-target' } & Administered)
  | ({ kind: 'route-origin' } & Administered)
  | { kind: 'encapsulation'; tunnelType: number }
  | { kind: 'default-gateway' }
  | { kind: 'color'; color: number }
  | { kind: 'mac-mobility'; sticky: boolean; sequence: number }
  | { kind: 'esi-label'; singleActive: boolean; label: number }
  | { kind: 'es-import'; mac: number }
  | { kind: 'router-mac'; mac: number }
  | { kind: 'arp-nd'; flags: number }
  | { kind: 'unknown'; type: number; subType: number; raw: RawCommunity };

const STICKY = 1;
const SINGLE_ACTIVE = 1;
const U32 = 0x1_0000_0000;

function head(type: number, subType: number, rest = 0): number {
  return ((type << 24) | (subType << 16) | rest) >>> 0;
}

/** Six bytes behind type and sub-type as a number: a MAC. */
function macOf({ high, low }: RawCommunity): number {
  return (high & 0xffff) * U32 + low;
}

function decodeAdministered(type: 0 | 1 | 2, { high, low }: RawCommunity): Administered {
  if (type === CommunityType.As2) {
    return { form: 0, administrator: high & 0xffff, assigned: low };
  }
  const administrator = (((high & 0xffff) << 16) | (low >>> 16)) >>> 0;
  return { form: type, administrator, assigned: low & 0xffff };
}

function decodeEvpn(subType: number, raw: RawCommunity): Community | undefined {
  const { high, low } = raw;
  const first = (high >>> 8) & 255;
  switch (subType) {
    case EvpnSubType.MacMobility:
      return { kind: 'mac-mobility', sticky: (first & STICKY) !== 0, sequence: low };
    case EvpnSubType.EsiLabel:
      return {
        kind: 'esi-label',
        singleActive: (first & SINGLE_ACTIVE) !== 0,
        label: low & 0xff_ffff,
      };
    case EvpnSubType.EsImport:
      return { kind: 'es-import', mac: macOf(raw) };
    case EvpnSubType.RouterMac:
      return { kind: 'router-mac', mac: macOf(raw) };
    case EvpnSubType.ArpNd:
      return { kind: 'arp-nd', flags: first };
    default:
      return undefined;
  }
}

/** What a community says. */
export function decodeCommunity(raw: RawCommunity): Community {
  const type = raw.high >>> 24;
  const subType = (raw.high >>> 16) & 255;
  const unknown: Community = { kind: 'unknown', type, subType, raw };
  switch (type) {
    case CommunityType.As2:
    case CommunityType.Ipv4:
    case CommunityType.As4: {
      const administered = decodeAdministered(type, raw);
      if (subType === AdministratorSubType.RouteTarget) {
        return { kind: 'route-target', ...administered };
      }
      if (subType === AdministratorSubType.RouteOrigin) {
        return { kind: 'route-origin', ...administered };
      }
      return unknown;
    }
    case CommunityType.Opaque:
      if (subType === OpaqueSubType.Encapsulation) {
        return { kind: 'encapsulation', tunnelType: raw.low & 0xffff };
      }
      if (subType === OpaqueSubType.DefaultGateway) return { kind: 'default-gateway' };
      if (subType === OpaqueSubType.Color) return { kind: 'color', color: raw.low };
      return unknown;
    case CommunityType.Evpn:
      return decodeEvpn(subType, raw) ?? unknown;
    default:
      return unknown;
  }
}

function encodeAdministered(subType: number, value: Administered): RawCommunity {
  const { form, administrator, assigned } = value;
  if (form === 0) return { high: head(form, subType, administrator), low: assigned };
  return {
    high: head(form, subType, administrator >>> 16),
    low: (((administrator & 0xffff) << 16) | assigned) >>> 0,
  };
}

function encodeMac(subType: number, mac: number): RawCommunity {
  return {
    high: head(CommunityType.Evpn, subType, Math.floor(mac / U32)),
    low: mac % U32,
  };
}

/** The bytes of a community; reserved bits are zero. */
export function encodeCommunity(community: Community): RawCommunity {
  const { Evpn, Opaque } = CommunityType;
  switch (community.kind) {
    case 'route-target':
      return encodeAdministered(AdministratorSubType.RouteTarget, community);
    case 'route-origin':
      return encodeAdministered(AdministratorSubType.RouteOrigin, community);
    case 'encapsulation':
      return { high: head(Opaque, OpaqueSubType.Encapsulation), low: community.tunnelType };
    case 'default-gateway':
      return { high: head(Opaque, OpaqueSubType.DefaultGateway), low: 0 };
    case 'color':
      return { high: head(Opaque, OpaqueSubType.Color), low: community.color };
    case 'mac-mobility': {
      const flags = community.sticky ? STICKY << 8 : 0;
      return { high: head(Evpn, EvpnSubType.MacMobility, flags), low: community.sequence };
    }
    case 'esi-label': {
      const flags = community.singleActive ? SINGLE_ACTIVE << 8 : 0;
      return { high: head(Evpn, EvpnSubType.EsiLabel, flags), low: community.label };
    }
    case 'es-import':
      return encodeMac(EvpnSubType.EsImport, community.mac);
    case 'router-mac':
      return encodeMac(EvpnSubType.RouterMac, community.mac);
    case 'arp-nd':
      return { high: head(Evpn, EvpnSubType.ArpNd, community.flags << 8), low: 0 };
    case 'unknown':
      return community.raw;
  }
}

/** True for a community that may leave the AS (RFC 4360 §2). */
export function isTransitive(raw: RawCommunity): boolean {
  return ((raw.high >>> 24) & COMMUNITY_NON_TRANSITIVE) === 0;
}
