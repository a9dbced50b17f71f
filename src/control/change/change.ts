/**
 * The changes that fanway makes to a host, as data: a plan is a list of them, the journal keeps
 * them, and each can be undone.
 * @module
 */
import { hasFields } from '../store/link-spec.ts';
import { type AddressChange, address } from './kinds/address.ts';
import { type Address6Change, address6 } from './kinds/address6.ts';
import { type AdvertsChange, adverts } from './kinds/adverts.ts';
import { type AnswersChange, answers } from './kinds/answers.ts';
import { type BridgeChange, bridge } from './kinds/bridge.ts';
import { type DhcpChange, dhcp } from './kinds/dhcp.ts';
import { type AcceptChange, accept } from './kinds/firewall/accept.ts';
import { type BetweenChange, between } from './kinds/firewall/between.ts';
import { type BoundChange, bound } from './kinds/firewall/bound.ts';
import { type GuardChange, guard } from './kinds/firewall/guard.ts';
import { type InsideChange, inside } from './kinds/firewall/inside.ts';
import { type InwardChange, inward } from './kinds/firewall/inward.ts';
import { type KeepChange, keep } from './kinds/firewall/keep.ts';
import { type MasqueradeChange, masquerade } from './kinds/firewall/masquerade.ts';
import type { Kind } from './kinds/kind.ts';
import { type PortChange, port } from './kinds/port.ts';
import { type RouteChange, route } from './kinds/route.ts';
import { type Route6Change, route6 } from './kinds/route6.ts';
import { type SysctlChange, sysctl } from './kinds/sysctl.ts';
import { type TunnelChange, tunnel } from './kinds/tunnel.ts';

export type Change =
  | SysctlChange
  | BridgeChange
  | AddressChange
  | TunnelChange
  | PortChange
  | AnswersChange
  | RouteChange
  | MasqueradeChange
  | KeepChange
  | InwardChange
  | AcceptChange
  | GuardChange
  | InsideChange
  | BetweenChange
  | BoundChange
  | DhcpChange
  | Address6Change
  | Route6Change
  | AdvertsChange;

const kinds: { [K in Change['kind']]: Kind<Extract<Change, { kind: K }>> } = {
  ...{ sysctl, bridge, address, tunnel, port, answers, route, masquerade, dhcp },
  ...{ keep, inward, accept, guard, inside, between, bound, address6, route6, adverts },
};

/** The kind of a change, typed so that it takes that change. */
export function kindOf(change: Change): Kind<Change> {
  return kinds[change.kind] as Kind<Change>;
}

/** Whether a value read from a file is a change that this version can make and take back. */
export function isChange(value: unknown): value is Change {
  const { kind } = Object(value) as { kind?: unknown };
  if (typeof kind !== 'string' || !Object.hasOwn(kinds, kind)) return false;
  const change = value as Change;
  const { fields, isWhole } = kindOf(change);
  return hasFields(change, fields) && (isWhole?.(change) ?? true);
}

/** One change as a line for people. `now`: a setting's value before, where that is known. */
export function describeChange(change: Change, now?: string | null): string {
  return kindOf(change).describe(change, now);
}
