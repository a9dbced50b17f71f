/**
 * Which data path forwards for a link: data processes of ours, or the kernel; and why not the kernel.
 * @module
 */

import { kernelLacks, noKernel } from '../../../config/link/impossible.ts';
import type { Datapath } from '../../../config/link/modes.ts';
import { networkLacks, RULED } from '../../../config/network/kernel.ts';
import type { NetworkRequest } from '../../../config/network.ts';
import { type FanRequest, isSameFan } from '../../../config/request.ts';
import { carriesFrames, ENCAPS } from '../../../encap/encap.ts';
import { familyOf } from '../../../net/underlay-address.ts';
import { fouPortTaken } from '../../host/kernel/fou-port.ts';
import { type AnyRequest, aliasOf, type FanRecord, type Snapshot } from '../../host/snapshot.ts';
import {
  type AnySpec,
  isKernels,
  type LinkSpec,
  linkTitle,
  type NetworkSpec,
  type WireSpec,
} from '../../store/link-spec.ts';

/** A reason not to go on, for programs and for people. */
type Refusal = { code: string; message: string };

/** Whether a link has to do with all that is IP in IP: `fou` in the kernel is that, too, once it is out of UDP. */
function hasIpip(spec: Pick<WireSpec, 'encap' | 'datapath'>): boolean {
  return !ENCAPS[spec.encap].udp || (spec.datapath === 'kernel' && !carriesFrames(spec.encap));
}

/** Who has the protocol of IP in IP, of which the kernel has one such device, '' when nobody does. */
function protocolTaken(
  { name }: WireSpec,
  { links, fans }: Pick<Snapshot, 'links' | 'fans'>,
): string {
  const rest = 'the kernel has one such device for all of IP in IP';
  const other = fans.find(
    ({ stopped, spec }) => stopped !== true && spec.name !== name && hasIpip(spec),
  );
  if (other !== undefined) {
    return `${linkTitle(other.spec)} has ${other.spec.encap} ${ENCAPS[other.spec.encap].udp ? 'in the kernel' : 'too'}, and ${rest}`;
  }
  const device = links.find(({ ipip, alias }) => ipip?.external && !alias.startsWith('fanway:'));
  return device === undefined ? '' : `${device.name} is there, and ${rest}: delete it`;
}

/** Somebody's listener at the port of a fan of `fou`, '' where there is none, or it is what is left of the fan. */
function listenerThere(spec: WireSpec, { links, fans, fouPorts = [] }: Snapshot): string {
  const { name, port } = spec;
  const isOurs =
    fans.some((one) => one.spec.name === name && isKernels(one.spec)) ||
    links.some(({ ipip, alias }) => ipip?.external === true && alias === aliasOf(name));
  return fouPorts.includes(port) && !isOurs ? fouPortTaken(spec) : '';
}

/** Who has what the device would need, '' when nobody does. */
function whatIsTaken(spec: WireSpec, snapshot: Snapshot): string {
  const protocol = carriesFrames(spec.encap) ? '' : protocolTaken(spec, snapshot);
  if (protocol !== '' || !ENCAPS[spec.encap].udp) return protocol;
  return portTaken(spec, snapshot) || listenerThere(spec, snapshot);
}

/** Who has the UDP port that the device would need, '' when nobody does. */
function portTaken(spec: WireSpec, { links, fans, networks }: Snapshot): string {
  const other = [...fans, ...networks].find(
    ({ stopped, spec: { name, port, encap } }) =>
      stopped !== true && name !== spec.name && port === spec.port && ENCAPS[encap].udp,
  );
  if (other !== undefined) {
    return `UDP port ${spec.port} is that of ${linkTitle(other.spec)}: the kernel has one such device a port, so choose another --port`;
  }
  const device = links.find(
    ({ vxlan, alias }) => vxlan?.port === spec.port && !alias.startsWith('fanway:'),
  );
  return device === undefined
    ? ''
    : `UDP port ${spec.port} is that of the VXLAN device ${device.name}: delete it, or choose another --port`;
}

/** Who a request says is to forward, as of two that say it in other words. */
export function datapathOf({ datapath }: Pick<AnyRequest, 'datapath'>): Datapath {
  return datapath ?? 'userspace';
}

/** A request that does not say who forwards, with what was asked for of the fan that runs already. */
export function keptDatapath(request: FanRequest, fans: readonly FanRecord[]): FanRequest {
  if (request.datapath !== undefined) return request;
  const running = fans.find((fan) => isSameFan(fan.request, request));
  const datapath = running?.request.datapath;
  return datapath === undefined ? request : { ...request, datapath };
}

/** The same of a network. */
export function keptNetworkDatapath(
  request: NetworkRequest,
  networks: Snapshot['networks'],
): NetworkRequest {
  if (request.datapath !== undefined) return request;
  const running = networks.find(({ spec }) => spec.network === request.network);
  const datapath = running?.request?.datapath;
  return datapath === undefined ? request : { ...request, datapath };
}

/** The host as a request sees it: without the word no fan goes over to the kernel, where it now could. */
export function unmoved(asked: FanRequest, snapshot: Snapshot): Snapshot {
  const running = snapshot.fans.find((fan) => isSameFan(fan.request, asked));
  const why = running?.spec.notKernel;
  if (asked.datapath !== undefined || why === undefined) return snapshot;
  return { ...snapshot, kernelPath: why };
}

/** A spec with the data path that was asked for, or why it cannot be. */
export function withDatapath(
  request: FanRequest,
  spec: LinkSpec,
  snapshot: Snapshot,
): LinkSpec | Refusal {
  return choose(spec, datapathOf(request), () => kernelLacks(request), 'fan', snapshot);
}

/** The same of a network. */
export function withNetworkDatapath(
  request: NetworkRequest,
  spec: NetworkSpec,
  snapshot: Snapshot,
): NetworkSpec | Refusal {
  const lacks = (): string => {
    return (snapshot.isRuled === true ? RULED : '') || networkLacks(request, familyOf(spec.local));
  };
  return choose(spec, datapathOf(request), lacks, 'network', snapshot);
}

function choose<Spec extends AnySpec>(
  spec: Spec,
  datapath: Datapath,
  lacks: () => string,
  what: 'fan' | 'network',
  snapshot: Snapshot,
): Spec | Refusal {
  if (datapath === 'userspace') return spec;
  const reason = lacks() || whatIsTaken(spec, snapshot) || (snapshot.kernelPath ?? '');
  if (reason === '') return { ...spec, datapath: 'kernel' };
  if (datapath === 'auto') return { ...spec, notKernel: reason };
  return noKernel(reason, what);
}

/** A link whose port, or protocol, is that of another one which the kernel forwards, and has to itself. */
export function checkKernelPort(
  spec: WireSpec,
  { fans, networks }: Pick<Snapshot, 'fans' | 'networks'>,
): Refusal[] {
  const meets = (one: WireSpec): 'port' | 'protocol' | undefined => {
    if (ENCAPS[spec.encap].udp && one.port === spec.port) return 'port';
    return hasIpip(spec) && hasIpip(one) ? 'protocol' : undefined;
  };
  const other = [...fans, ...networks].find(
    ({ spec: one, stopped }) =>
      stopped !== true && isKernels(one) && one.name !== spec.name && meets(one) !== undefined,
  );
  if (other === undefined) return [];
  const what =
    meets(other.spec) === 'port'
      ? `UDP port ${spec.port} is that of ${linkTitle(other.spec)}, which the kernel forwards and needs alone: choose another --port`
      : `IP in IP is that of ${other.spec.name}, which the kernel forwards and needs alone: take --encap vxlan, or that fan down`;
  return [{ code: 'port-taken', message: what }];
}

/** A running link's spec with the data path of another. */
export function movedSpec<Spec extends AnySpec>(running: Spec, wanted: Partial<WireSpec>): Spec {
  const moved = { ...running };
  for (const field of ['datapath', 'notKernel'] as const) {
    Reflect.deleteProperty(moved, field);
    if (wanted[field] !== undefined) Object.assign(moved, { [field]: wanted[field] });
  }
  return moved;
}

/** Why it is not the kernel although it might have been, as sentences. */
export function notesOfDatapath({ notKernel }: WireSpec): string[] {
  return notKernel === undefined ? [] : [`forwarded by fanway, not by the kernel: ${notKernel}`];
}
