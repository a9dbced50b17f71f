/**
 * What of one request no host could make, whatever is on it: `fanway check` tells it with its line, and the
 * planner says it of requests that came another way.
 * @module
 */
import { carriesFrames } from '../../encap/encap.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { type Prefix, usableHosts } from '../../net/prefix.ts';
import { formatPrefix6, type Prefix6 } from '../../net/prefix6.ts';
import { ADDRESS_BITS, type Family } from '../../net/underlay-address.ts';
import type { FieldsOf } from '../row/row.ts';
import { type DEVICE_ROWS, IPV6_MTU_BYTES_MIN, type MTU_ROWS } from './device.ts';
import type { FAN_ROWS } from './fan-rows.ts';
import type { RATE_ROWS } from './rate.ts';
import { type UnderlaySelector, type UnderlaysRequest, underlayFamily } from './underlays.ts';

/** A reason for programs (`code`), the setting that it is about, and a sentence with a way out. */
export type Impossible = { code: string; key: string; message: string };

/** What a request has that may be impossible. */
type Asked = FieldsOf<typeof FAN_ROWS> &
  UnderlaysRequest & { overlay: Prefix; overlay6?: Prefix6; underlay: UnderlaySelector };

/** What a request for a link of either kind says of how its packets travel. */
type Carriage = FieldsOf<typeof RATE_ROWS> &
  FieldsOf<typeof MTU_ROWS> &
  FieldsOf<typeof DEVICE_ROWS> &
  Pick<UnderlaysRequest, 'further'>;

/** What of it the kernel's data path lacks, whatever the link is, '' when nothing. */
export function carriageLacks(request: Carriage, underlay: Family): string {
  if (underlay !== 4) return 'it goes over IPv4, and this underlay is IPv6';
  if (request.further !== undefined) return 'its device has one underlay';
  if (request.rate !== undefined || request.peerRates !== undefined)
    return "--rate has packets wait in fanway's own processes";
  if (request.mtu !== null) return 'the device answers what does not fit its route, not --mtu';
  if (request.offload === 'off') return "--offload off is a word to fanway's own processes";
  return '';
}

/** What of a request the programs in the kernel do not know, '' when nothing. */
export function kernelLacks(request: Asked): string {
  const { encap, underlay } = request;
  if (!carriesFrames(encap) && request.overlay6 !== undefined) {
    return `its device of ${encap} takes IPv4 alone, and this fan has IPv6 inside`;
  }
  if (request.derivedMacs === true) return "--derived-macs has fanway's own processes answer ARP";
  if (request.device !== undefined) return 'the device is one that root has made';
  if (request.sourcePort === 'fixed') return 'it has a source port for each flow, not a fixed one';
  return carriageLacks(request, underlayFamily(underlay));
}

/** The refusal of a link that the kernel was to forward for, and cannot. */
export function noKernel(reason: string, what: 'fan' | 'network' = 'fan'): Impossible {
  return {
    ...{ code: 'no-kernel-datapath', key: 'datapath' },
    message: `the kernel cannot forward for this ${what}: ${reason}; or take --datapath auto`,
  };
}

/** Everything of a fan that no host could make. */
export function impossibleFan(request: Asked): Impossible[] {
  const lacks = request.datapath === 'kernel' ? kernelLacks(request) : '';
  return [
    ...(lacks === '' ? [] : [noKernel(lacks)]),
    ...reserveProblems(request),
    ...sixProblems(request),
  ];
}

/** A host that keeps all of its slice to itself. */
function reserveProblems({ overlay, underlay, hostReserve }: Asked): Impossible[] {
  const hostBits = ADDRESS_BITS[underlayFamily(underlay)] - underlay.length;
  const length = overlay.length + hostBits;
  const usable = usableHosts(length);
  // A slice without any is the arithmetic's to refuse.
  if (!hasIpv4(overlay) || usable === 0 || hostReserve < usable) return [];
  return [
    {
      ...{ code: 'reserve-too-large', key: 'host-reserve' },
      message: `host-reserve ${hostReserve} leaves no address for a container: the slice of a host, a /${length}, has ${usable}; use at most ${usable - 1}`,
    },
  ];
}

function sixProblems({ overlay, overlay6, mtu, dhcp }: Asked): Impossible[] {
  if (overlay6 === undefined) return [];
  const text = formatPrefix6(overlay6);
  const problems: Impossible[] = [];
  if (mtu !== null && mtu < IPV6_MTU_BYTES_MIN) {
    problems.push({
      ...{ code: 'mtu-too-small-for-ipv6', key: 'mtu' },
      message: `overlay ${text}: IPv6 needs packets of ${IPV6_MTU_BYTES_MIN} bytes (RFC 8200 §5), and mtu is ${mtu}: raise it, leave it out, or leave IPv6 out`,
    });
  }
  if (dhcp && !hasIpv4(overlay)) {
    problems.push({
      ...{ code: 'dhcp-without-ipv4', key: 'dhcp' },
      message: `dhcp hands out IPv4, and ${text} is IPv6: containers make their addresses from router advertisements; leave dhcp out`,
    });
  }
  return problems;
}
