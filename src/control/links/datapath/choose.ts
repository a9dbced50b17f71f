/**
 * Which data path forwards for a fan: data processes of ours, or the kernel; and why not the kernel.
 * @module
 */
import type { FanRequest } from '../../../config/request.ts';
import { ENCAPS } from '../../../encap/encap.ts';
import { familyOf } from '../../../net/underlay-address.ts';
import type { Snapshot } from '../../host/snapshot.ts';
import { isKernels, type LinkSpec, type WireSpec } from '../../store/link-spec.ts';

/** A reason not to go on, for programs and for people. */
type Refusal = { code: string; message: string };

/** What of a request the programs in the kernel do not know, '' when nothing. */
function lacking(request: FanRequest, spec: LinkSpec): string {
  if (!ENCAPS[spec.encap].hasVni) return `it carries vxlan, and this fan is ${spec.encap}`;
  if (familyOf(spec.local) !== 4) return 'it goes over IPv4, and this underlay is IPv6';
  if (request.further !== undefined) return 'its device has one underlay';
  if (request.rate !== undefined || request.peerRates !== undefined)
    return "--rate has packets wait in fanway's own processes";
  if (request.derivedMacs === true) return "--derived-macs has fanway's own processes answer ARP";
  if (request.device !== undefined) return 'the device is one that root has made';
  if (request.mtu !== null) return 'the device answers what does not fit its route, not --mtu';
  if (request.sourcePort === 'fixed') return 'it has a source port for each flow, not a fixed one';
  if (request.offload === 'off') return "--offload off is a word to fanway's own processes";
  return '';
}

/** Who has the port that the device would need, '' when nobody does. */
function portTaken(spec: LinkSpec, { links, fans, networks }: Snapshot): string {
  const other = [...fans, ...networks].find(
    ({ spec: { name, port, encap } }) =>
      name !== spec.name && port === spec.port && ENCAPS[encap].udp,
  );
  if (other !== undefined) {
    return `UDP port ${spec.port} is that of ${other.spec.name}: the kernel has one such device a port, so choose another --port`;
  }
  const device = links.find(
    ({ vxlan, alias }) => vxlan?.port === spec.port && !alias.startsWith('fanway:'),
  );
  return device === undefined
    ? ''
    : `UDP port ${spec.port} is that of the VXLAN device ${device.name}: delete it, or choose another --port`;
}

/** Why the kernel cannot forward for a fan, '' where it can. */
function whyNotKernel(request: FanRequest, spec: LinkSpec, snapshot: Snapshot): string {
  return lacking(request, spec) || portTaken(spec, snapshot) || (snapshot.kernelPath ?? '');
}

/** A spec with the data path that was asked for, or why it cannot be. */
export function withDatapath(
  request: FanRequest,
  spec: LinkSpec,
  snapshot: Snapshot,
): LinkSpec | Refusal {
  if (request.datapath === undefined) return spec;
  const reason = whyNotKernel(request, spec, snapshot);
  if (reason === '') return { ...spec, datapath: 'kernel' };
  if (request.datapath === 'auto') return { ...spec, notKernel: reason };
  return {
    code: 'no-kernel-datapath',
    message: `the kernel cannot forward for this fan: ${reason}; or take --datapath auto`,
  };
}

/** A link whose port is that of another one which the kernel forwards, and has to itself. */
export function checkKernelPort(spec: WireSpec, fans: Snapshot['fans']): Refusal[] {
  const other = fans.find(
    ({ spec: one }) => isKernels(one) && one.name !== spec.name && one.port === spec.port,
  );
  if (other === undefined || !ENCAPS[spec.encap].udp) return [];
  return [
    {
      code: 'port-taken',
      message: `UDP port ${spec.port} is that of ${other.spec.name}, which the kernel forwards and needs alone: choose another --port`,
    },
  ];
}

/** A running link's spec with the data path of another. */
export function movedSpec(running: LinkSpec, wanted: LinkSpec): LinkSpec {
  const { datapath: _, notKernel: __, ...rest } = running;
  const { datapath, notKernel } = wanted;
  return {
    ...rest,
    ...(datapath !== undefined && { datapath }),
    ...(notKernel !== undefined && { notKernel }),
  };
}

/** Why it is not the kernel although it might have been, as sentences. */
export function notesOfDatapath({ notKernel }: WireSpec): string[] {
  return notKernel === undefined ? [] : [`forwarded by fanway, not by the kernel: ${notKernel}`];
}
