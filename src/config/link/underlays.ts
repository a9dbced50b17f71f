/**
 * Several underlays as they are asked for, the same for fans and layer-2 networks.
 * @module
 */
import { carriesFrames, type EncapName } from '../../encap/encap.ts';
import {
  ADDRESS_BITS,
  type Family,
  familyOf,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import {
  isUnderlayMode,
  isXmitHashPolicy,
  UNDERLAY_MODE_DEFAULT,
  type UnderlayMode,
  XMIT_HASH_POLICY_DEFAULT,
  type XmitHashPolicy,
} from '../../net/underlay-modes.ts';

/**
 * Where the underlay address comes from. `length` is the underlay's prefix length in bits; above 32 it
 * says that an IPv6 address is meant ({@link underlayFamily}).
 */
export type UnderlaySelector =
  /** One address of this host, or a network one of its addresses lies in (no host bits set). */
  | { kind: 'address'; address: UnderlayAddress; length: number }
  /** The first global address of a device. */
  | { kind: 'device'; device: string; length: number }
  /** The first global address of the device that holds the default route. */
  | { kind: 'default'; length: number };

/** What a link is asked for that has several underlays. */
export type UnderlaysRequest = {
  /** Those beside the first, in order; absent = none. */
  further?: readonly UnderlaySelector[];
  /** How packets are spread over them; absent = the default. */
  underlayMode?: UnderlayMode;
  xmitHashPolicy?: XmitHashPolicy;
};

/** The family that a selector means: that of its address, else what has room for its length. */
export function underlayFamily(selector: UnderlaySelector): Family {
  if (selector.kind === 'address') return familyOf(selector.address);
  return selector.length > ADDRESS_BITS[4] ? 6 : 4;
}

/** What the values say of several underlays; nothing where there is one. */
export function furtherOf(
  values: ReadonlyMap<string, unknown>,
  [, ...further]: readonly UnderlaySelector[],
): UnderlaysRequest {
  if (further.length === 0) return {};
  const [mode, policy] = [values.get('underlay-mode'), values.get('xmit-hash-policy')];
  return {
    further,
    ...(isUnderlayMode(mode) && mode !== UNDERLAY_MODE_DEFAULT && { underlayMode: mode }),
    ...(isXmitHashPolicy(policy) &&
      policy !== XMIT_HASH_POLICY_DEFAULT && { xmitHashPolicy: policy }),
  };
}

/** What does not go with several underlays, or without them. */
export function underlaysProblems(
  values: ReadonlyMap<string, unknown>,
  underlays: readonly UnderlaySelector[],
  encap: EncapName,
): { key: string; message: string }[] {
  if (underlays.length <= 1) {
    return ['underlay-mode', 'xmit-hash-policy']
      .filter((key) => values.has(key))
      .map((key) => ({
        key,
        message: `${key} is for several underlays: name them, as eth0/16,eth1/16`,
      }));
  }
  const problems: { key: string; message: string }[] = [];
  const mode = values.get('underlay-mode') ?? UNDERLAY_MODE_DEFAULT;
  if (values.has('xmit-hash-policy') && mode !== 'balance-xor') {
    const message = `xmit-hash-policy is what balance-xor goes by, and underlay-mode is ${mode}`;
    problems.push({ key: 'xmit-hash-policy', message });
  }
  if (!carriesFrames(encap) && values.get('xmit-hash-policy') === 'layer2') {
    const message = `layer2 goes by the MACs of containers, and ${encap} carries none: take layer2+3 or layer3+4`;
    problems.push({ key: 'xmit-hash-policy', message });
  }
  if (new Set(underlays.map(underlayFamily)).size > 1) {
    const message =
      'some of these underlays are of IPv4 and some of IPv6: name those of one family';
    problems.push({ key: 'underlay', message });
  }
  if (values.get('datapath') === 'kernel') {
    const message =
      "the kernel's data path has one underlay: leave datapath out, or name one underlay";
    problems.push({ key: 'datapath', message });
  }
  return problems;
}
