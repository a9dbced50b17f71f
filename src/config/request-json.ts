/**
 * A {@link FanRequest} that came over the admin socket: every field checked, none unknown.
 * @module
 */
import { usageError } from '../errors.ts';
import { isNetwork, type Prefix } from '../net/prefix.ts';
import { isNetwork6, type Prefix6 } from '../net/prefix6.ts';
import { ADDRESS_BITS, familyOf, isUnderlayAddress } from '../net/underlay-address.ts';
import { UNDERLAY_MODES, UNDERLAYS_MAX, XMIT_HASH_POLICIES } from '../net/underlay-modes.ts';
import { isNat } from './link/nat.ts';
import { areFlowKeys, arePeerRates, isRate } from './link/rate.ts';
import type { UnderlaySelector } from './link/underlays.ts';
import {
  ENCAPS,
  type FanRequest,
  fanRequest,
  HOST_RESERVE_MAX,
  MTU_BYTES_MAX,
  MTU_BYTES_MIN,
} from './request.ts';
import { parseUnderlay } from './schema.ts';
import { parseInterfaceName } from './setting.ts';

type Fields = Record<string, unknown>;

function bad(field: string): never {
  throw usageError('bad-request', `field ${field} is missing or not what it should be`);
}

function fieldsOf(value: unknown, allowed: readonly string[], where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(where);
  const fields = value as Fields;
  for (const key of Object.keys(fields)) {
    if (!allowed.includes(key)) throw usageError('bad-request', `${where} has an unknown field`);
  }
  return fields;
}

function integer(value: unknown, min: number, max: number, field: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    bad(field);
  }
  return value;
}

function nullable<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null ? null : read(value);
}

function choice<T extends string>(value: unknown, choices: readonly T[], field: string): T {
  const found = choices.find((choice) => choice === value);
  return found ?? bad(field);
}

function flag(value: unknown, field: string): boolean {
  return typeof value === 'boolean' ? value : bad(field);
}

function name(value: unknown, field: string): string {
  return typeof value === 'string' ? parseInterfaceName(value) : bad(field);
}

function prefix(value: unknown, field: string): Prefix {
  const fields = fieldsOf(value, ['address', 'length'], field);
  const result = {
    address: integer(fields['address'], 0, 0xffff_ffff, field),
    length: integer(fields['length'], 0, 32, field),
  };
  return isNetwork(result) ? result : bad(field);
}

function selector(value: unknown): UnderlaySelector {
  const fields = fieldsOf(value, ['kind', 'address', 'device', 'length'], 'underlay');
  const length = integer(fields['length'], 0, ADDRESS_BITS[6], 'underlay');
  switch (fields['kind']) {
    case 'address': {
      const address = fields['address'];
      if (!isUnderlayAddress(address) || length > ADDRESS_BITS[familyOf(address)]) {
        return bad('underlay');
      }
      return { kind: 'address', address, length };
    }
    case 'device': {
      const device = fields['device'];
      if (typeof device !== 'string') return bad('underlay');
      const parsed = parseUnderlay(`${device}/${length}`);
      return parsed.kind === 'device' ? parsed : bad('underlay');
    }
    case 'default':
      return { kind: 'default', length };
    default:
      return bad('underlay');
  }
}

/** Those beside the first. */
function selectors(value: unknown): UnderlaySelector[] {
  if (!Array.isArray(value) || value.length === 0 || value.length >= UNDERLAYS_MAX) bad('further');
  return value.map(selector);
}

/** Of an IPv6 overlay: four words of 32 bits, and a length. */
function prefix6(value: unknown, field: string): Prefix6 {
  const fields = fieldsOf(value, ['address', 'length'], field);
  const { address } = fields;
  if (!Array.isArray(address) || address.length !== 4) return bad(field);
  const word = (at: number): number => integer(address[at], 0, 0xffff_ffff, field);
  const result: Prefix6 = {
    address: [word(0), word(1), word(2), word(3)],
    length: integer(fields['length'], 0, 128, field),
  };
  return isNetwork6(result) ? result : bad(field);
}

const FIELDS = Object.keys(
  fanRequest({ overlay: { address: 0, length: 0 }, underlay: { kind: 'default', length: 0 } }),
);
/** Fields that need not be there. */
const OPTIONAL_FIELDS = [
  ...['overlay6', 'device', 'rate', 'flowKeys', 'peerRates', 'datapath'],
  ...['further', 'underlayMode', 'xmitHashPolicy', 'nat'],
];

/**
 * Reads a whole request; every field must be there.
 * @throws FanwayError (exit code 2) naming the field, ValueError for a name.
 */
export function requestFromJson(value: unknown): FanRequest {
  const fields = fieldsOf(value, [...FIELDS, ...OPTIONAL_FIELDS], 'request');
  const { overlay6, device, rate, flowKeys, peerRates, datapath } = fields;
  const { further, underlayMode, xmitHashPolicy, nat } = fields;
  return {
    overlay: prefix(fields['overlay'], 'overlay'),
    ...(overlay6 !== undefined && { overlay6: prefix6(overlay6, 'overlay6') }),
    ...(device !== undefined && { device: name(device, 'device') }),
    underlay: selector(fields['underlay']),
    ...(further !== undefined && { further: selectors(further) }),
    ...(underlayMode !== undefined && {
      underlayMode: choice(underlayMode, UNDERLAY_MODES, 'underlayMode'),
    }),
    ...(xmitHashPolicy !== undefined && {
      xmitHashPolicy: choice(xmitHashPolicy, XMIT_HASH_POLICIES, 'xmitHashPolicy'),
    }),
    encap: choice(fields['encap'], ENCAPS, 'encap'),
    port: nullable(fields['port'], (port) => integer(port, 1, 65535, 'port')),
    vni: nullable(fields['vni'], (vni) => integer(vni, 0, 0xff_ffff, 'vni')),
    compat: choice(fields['compat'], ['none', 'lxd'], 'compat'),
    mtu: nullable(fields['mtu'], (mtu) => integer(mtu, MTU_BYTES_MIN, MTU_BYTES_MAX, 'mtu')),
    dhcp: flag(fields['dhcp'], 'dhcp'),
    hostReserve: integer(fields['hostReserve'], 1, HOST_RESERVE_MAX, 'hostReserve'),
    bridge: nullable(fields['bridge'], (bridge) => name(bridge, 'bridge')),
    offload: choice(fields['offload'], ['auto', 'off'], 'offload'),
    dscp: choice(fields['dscp'], ['pipe', 'uniform'], 'dscp'),
    sourcePort: choice(fields['sourcePort'], ['pool', 'fixed'], 'sourcePort'),
    ...(datapath !== undefined && { datapath: choice(datapath, ['kernel', 'auto'], 'datapath') }),
    ...(nat !== undefined && { nat: isNat(nat) ? nat : bad('nat') }),
    masquerade: flag(fields['masquerade'], 'masquerade'),
    ...(rate !== undefined && { rate: isRate(rate) ? rate : bad('rate') }),
    ...(peerRates !== undefined && {
      peerRates: arePeerRates(peerRates) ? peerRates : bad('peerRates'),
    }),
    ...(flowKeys !== undefined && { flowKeys: areFlowKeys(flowKeys) ? flowKeys : bad('flowKeys') }),
    auto: flag(fields['auto'], 'auto'),
    off: flag(fields['off'], 'off'),
    force: flag(fields['force'], 'force'),
  };
}
