/**
 * Ends of a session that no message is to blame for but the moment (RFC 4271 §6.5, §6.6).
 * @module
 */
import { SessionReset } from '../../wire/bgp/faults.ts';
import { ErrorCode } from '../../wire/bgp/iana.ts';

/** `subcode` of {@link StateMachineError}: the state in which it came. */
export function unexpected(subcode: number, type: number): SessionReset {
  const reason = `a message of type ${type} at the wrong time`;
  return new SessionReset(ErrorCode.StateMachine, subcode, reason);
}

/** The hold timer ran out; `silentMs` since the last message. */
export function expired(silentMs: number): SessionReset {
  return new SessionReset(ErrorCode.HoldTimer, 0, `nothing heard for ${silentMs / 1000} s`);
}
