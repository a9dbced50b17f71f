/**
 * Where an address of an IPv6 overlay is by the fan's arithmetic.
 * @module
 */
import { rulePrefixOf } from '../../net/fan.ts';
import { gatewayOf6, hostPartIn, peerOf6, sliceOf6 } from '../../net/fan6.ts';
import {
  contains6,
  formatAddress6,
  formatPrefix6,
  type Ipv6,
  isSameAddress6,
  type Prefix6,
} from '../../net/prefix6.ts';
import {
  formatHostAddress,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import type { Explanation } from './explain.ts';

/** `local` is −1 where no address of this host is meant, `name` '' where no fan runs. */
export type ExplainedFan6 = {
  overlay: Prefix6;
  underlay: UnderlayPrefix;
  local: UnderlayAddress;
  name: string;
};

/** The fan that an IPv6 address is in: the longest overlay wins. */
export function fanOf6(address: Ipv6, fans: readonly ExplainedFan6[]): ExplainedFan6 | undefined {
  return fans
    .filter(({ overlay }) => contains6(overlay, address))
    .sort((a, b) => b.overlay.length - a.overlay.length)[0];
}

/** What a fan says about an IPv6 address; the longest overlay wins. */
export function explainAddress6(address: Ipv6, fans: readonly ExplainedFan6[]): Explanation {
  const shown = formatAddress6(address);
  const plain = { address: shown, source: 'arithmetic', announced: null } as const;
  const fan = fanOf6(address, fans);
  if (fan === undefined) {
    return {
      ...plain,
      ...{ overlay: '', slice: '', host: '', local: false, role: 'outside' },
      text: `${shown} is in no fan of this host; fanway show lists them`,
    };
  }
  const { overlay, underlay, name } = fan;
  const part = hostPartIn(overlay, 32 - rulePrefixOf(underlay).length, address);
  const peer = peerOf6(overlay, underlay, address);
  const slice = sliceOf6(overlay, part);
  const isGateway = isSameAddress6(address, gatewayOf6(slice));
  const local = peer === fan.local;
  const host = formatHostAddress(peer);
  const where = local
    ? `this host (${host})${name === '' ? '' : `, bridge ${name}`}`
    : `host ${host}`;
  const what = isGateway ? "the host's own address" : 'an address for a container';
  return {
    ...plain,
    ...{ overlay: formatPrefix6(overlay), slice: formatPrefix6(slice), host, local },
    role: isGateway ? 'gateway' : 'container',
    text: `${shown} is in fan ${formatPrefix6(overlay)}, slice ${formatPrefix6(slice)} of ${where}: ${what}`,
  };
}
