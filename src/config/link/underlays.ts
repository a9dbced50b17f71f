/**
 * Several underlays as they are asked for, the same for fans and layer-2 networks.
 * @module
 */
import { carriesFrames, type EncapName } from '../../encap/encap.ts';
import {
  ADDRESS_BITS,
  type Family,
  familyOf,
  formatHostAddress,
  hostNetworkOf,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import {
  UNDERLAY_MODE_DEFAULT,
  UNDERLAY_MODES,
  XMIT_HASH_POLICIES,
  XMIT_HASH_POLICY_DEFAULT,
} from '../../net/underlay-modes.ts';
import { choice } from '../row/kinds.ts';
import { asked, type FieldsOf } from '../row/row.ts';

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

/** How packets choose among several underlays; absent = the default. */
export const UNDERLAY_ROWS = {
  underlayMode: asked(
    choice(UNDERLAY_MODES),
    {
      ...{ key: 'underlay-mode', default: UNDERLAY_MODE_DEFAULT, resolved: true },
      doc: 'Which of several underlays a packet takes: the first that works, by flow, each in turn (which reorders), or the one with the least delay.',
      help: ['--underlay-mode MODE', `of several: ${UNDERLAY_MODES.join(', ')}`],
    },
    UNDERLAY_MODE_DEFAULT,
  ),
  xmitHashPolicy: asked(
    choice(XMIT_HASH_POLICIES),
    {
      ...{ key: 'xmit-hash-policy', default: XMIT_HASH_POLICY_DEFAULT, resolved: true },
      doc: 'What of the headers inside tells flows apart for balance-xor.',
      help: ['--xmit-hash-policy P', `flows of balance-xor: ${XMIT_HASH_POLICIES.join(', ')}`],
    },
    XMIT_HASH_POLICY_DEFAULT,
  ),
} as const;

/** What a link is asked for that has several underlays. */
export type UnderlaysRequest = FieldsOf<typeof UNDERLAY_ROWS> & {
  /** Those beside the first, in order; absent = none. */
  further?: readonly UnderlaySelector[];
};

/** The family that a selector means: that of its address, else what has room for its length. */
export function underlayFamily(selector: UnderlaySelector): Family {
  if (selector.kind === 'address') return familyOf(selector.address);
  return selector.length > ADDRESS_BITS[4] ? 6 : 4;
}

/** An underlay selector as it is written on the command line (`eth0/16`). */
export function formatUnderlay(selector: UnderlaySelector): string {
  switch (selector.kind) {
    case 'address':
      return `${formatHostAddress(selector.address)}/${selector.length}`;
    case 'device':
      return `${selector.device}/${selector.length}`;
    case 'default':
      return `default/${selector.length}`;
  }
}

/** All underlays of a link in the same way (`eth0/16,eth1/16`). */
export function formatUnderlays({
  underlay,
  further = [],
}: Pick<UnderlaysRequest, 'further'> & { underlay: UnderlaySelector }): string {
  return [underlay, ...further].map(formatUnderlay).join(',');
}

/** What the underlays of a link say beside the first; nothing where there is one. */
export function furtherOf([, ...further]: readonly UnderlaySelector[]): {
  further?: readonly UnderlaySelector[];
} {
  return further.length === 0 ? {} : { further };
}

/** One of several underlays: how it is told, and its network where that is known. */
export type UnderlaySide = {
  at: string;
  family: Family;
  length: number;
  network: UnderlayAddress | undefined;
};

/** Why one underlay does not go with those before it, with a code for programs; undefined where it does. */
export function underlayMismatch(
  one: UnderlaySide,
  [first, ...others]: readonly UnderlaySide[],
): { code: string; message: string } | undefined {
  const { at, family, length, network } = one;
  if (first === undefined) return undefined;
  if (family !== first.family) {
    return {
      code: 'underlay-family',
      message: `${at}: the first underlay is of IPv${first.family}, and all others are of its family`,
    };
  }
  if (length !== first.length) {
    return {
      code: 'underlay-width',
      message: `${at}: all underlays of a link have the width of the first, /${first.length}`,
    };
  }
  const hostBits = ADDRESS_BITS[family] - length;
  if (hostBits > ADDRESS_BITS[4]) {
    return {
      code: 'underlay-width',
      message: `${at}: where a link has several underlays, hosts are told apart by the last 32 bits of their addresses: give all of them a width of /${ADDRESS_BITS[6] - ADDRESS_BITS[4]} or more`,
    };
  }
  if (network !== undefined && [first, ...others].some((other) => other.network === network)) {
    return {
      code: 'underlay-same',
      message: `${at} is in the network of another underlay of this link: each is a network of its own`,
    };
  }
  return undefined;
}

/** What of a selector is known before it meets a host. */
function sideOf(selector: UnderlaySelector): UnderlaySide {
  const { kind, length } = selector;
  return {
    ...{ at: formatUnderlay(selector), family: underlayFamily(selector), length },
    network: kind === 'address' ? hostNetworkOf({ address: selector.address, length }) : undefined,
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
  } else {
    const sides = underlays.map(sideOf);
    const found = sides.map((side, i) => underlayMismatch(side, sides.slice(0, i)));
    const [first] = found.filter((one) => one !== undefined);
    if (first !== undefined) problems.push({ key: 'underlay', message: first.message });
  }
  if (values.get('datapath') === 'kernel') {
    const message =
      "the kernel's data path has one underlay: leave datapath out, or name one underlay";
    problems.push({ key: 'datapath', message });
  }
  return problems;
}
