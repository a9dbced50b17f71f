/**
 * What we promise in an OPEN, and what the neighbour's must promise.
 * @module
 */
import { Writer } from '../../wire/bgp/bytes.ts';
import type { Notification } from '../../wire/bgp/faults.ts';
import {
  Afi,
  CapabilityCode,
  CeaseError,
  ErrorCode,
  FORWARDING_KEPT,
  GracefulRestartFlag,
  OpenError,
  Safi,
} from '../../wire/bgp/iana.ts';
import {
  BGP_VERSION,
  type BgpFamily,
  type Capability,
  headerAs,
  type Open,
} from '../../wire/bgp/open.ts';
import type { SpeakerSettings } from '../base/api.ts';

export type Restart = Extract<Capability, { kind: 'graceful-restart' }>;

const EVPN: BgpFamily = { afi: Afi.L2vpn, safi: Safi.Evpn };

export function isEvpn({ afi, safi }: BgpFamily): boolean {
  return afi === EVPN.afi && safi === EVPN.safi;
}

/** `isBack`: we restarted, and this is the first session since. */
export function makeOpen(speaker: SpeakerSettings, holdSeconds: number, isBack: boolean): Open {
  const capabilities: Capability[] = [
    { kind: 'multiprotocol', ...EVPN },
    { kind: 'route-refresh' },
    { kind: 'four-octet-as', as: speaker.as },
  ];
  if (speaker.restartSeconds > 0) {
    capabilities.push({
      kind: 'graceful-restart',
      flags: GracefulRestartFlag.Notification | (isBack ? GracefulRestartFlag.Restarting : 0),
      seconds: speaker.restartSeconds,
      // The data processes go on without us.
      families: [{ ...EVPN, flags: FORWARDING_KEPT }],
    });
  }
  const [version, identifier] = [BGP_VERSION, speaker.routerId];
  return { version, as: headerAs(speaker.as), holdSeconds, identifier, capabilities };
}

/** Why we cannot speak with who sent this, or undefined. */
export function refusalOf(
  open: Open,
  speaker: SpeakerSettings,
  isInternal: boolean,
): Notification | undefined {
  const refuse = (subcode: number, data = new Uint8Array(0)): Notification => ({
    code: ErrorCode.Open,
    subcode,
    data,
  });
  // RFC 6286 §2.2.
  if (isInternal && open.identifier === speaker.routerId) return refuse(OpenError.BadIdentifier);
  if (open.capabilities.some((each) => each.kind === 'multiprotocol' && isEvpn(each))) {
    return undefined;
  }
  const wanted = new Writer().u8(CapabilityCode.Multiprotocol);
  wanted.counted(8, (body) => body.u16(EVPN.afi).u8(0).u8(EVPN.safi));
  return refuse(OpenError.UnsupportedCapability, wanted.finish());
}

/** The neighbour keeps EVPN routes over a restart of its session; undefined = it does not say so. */
export function restartOf(open: Open | undefined): Restart | undefined {
  return open?.capabilities.find(
    (each): each is Restart => each.kind === 'graceful-restart' && each.families.some(isEvpn),
  );
}

/** The neighbour's packets went on while it was away. */
export function keepsForwarding(restart: Restart | undefined): boolean {
  const family = restart?.families.find(isEvpn);
  return family !== undefined && (family.flags & FORWARDING_KEPT) !== 0;
}

/** Both sides say that a notification too is survived (RFC 8538). */
export function keepsOnNotification(
  restart: Restart | undefined,
  speaker: SpeakerSettings,
): boolean {
  if (restart === undefined || speaker.restartSeconds === 0) return false;
  return (restart.flags & GracefulRestartFlag.Notification) !== 0;
}

/** RFC 4724 §4.2, RFC 8538 §4: are routes kept after an end with this notification (null = none)? */
export function survives(
  restart: Restart | undefined,
  speaker: SpeakerSettings,
  notification: Notification | null,
): boolean {
  if (restart === undefined || speaker.restartSeconds === 0) return false;
  if (notification === null) return true;
  const { code, subcode } = notification;
  const isHard = code === ErrorCode.Cease && subcode === CeaseError.HardReset;
  return !isHard && keepsOnNotification(restart, speaker);
}

/** A Cease without data, or with `data`. */
export function cease(subcode: number, data: Uint8Array = new Uint8Array(0)): Notification {
  return { code: ErrorCode.Cease, subcode, data };
}
