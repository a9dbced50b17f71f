/**
 * What is wrong with bytes from a neighbour. The class is the reaction that RFC 7606 and RFC 4271
 * ask for, so that whoever catches one needs no table of its own.
 * @module
 */
import { ErrorCode } from './iana.ts';

/** The two numbers and the bytes of a NOTIFICATION, RFC 4271 §4.5. */
export type Notification = { code: number; subcode: number; data: Uint8Array };

const NO_DATA = new Uint8Array(0);

/** The session ends, with this NOTIFICATION. The only one of the three that is thrown. */
export class SessionReset extends Error {
  readonly notification: Notification;

  constructor(code: number, subcode: number, reason: string, data: Uint8Array = NO_DATA) {
    super(reason);
    this.name = 'SessionReset';
    this.notification = { code, subcode, data };
  }
}

/** The routes that the UPDATE announces are withdrawn; the session stays (RFC 7606 §2). */
export class TreatAsWithdraw {
  readonly attribute: number;
  readonly reason: string;

  constructor(attribute: number, reason: string) {
    this.attribute = attribute;
    this.reason = reason;
  }
}

/** The attribute is as if it had not come; everything else holds (RFC 7606 §2). */
export class AttributeDiscard {
  readonly attribute: number;
  readonly reason: string;

  constructor(attribute: number, reason: string) {
    this.attribute = attribute;
    this.reason = reason;
  }
}

/** What an UPDATE may suffer and still be read. */
export type UpdateFault = TreatAsWithdraw | AttributeDiscard;

/**
 * One field is wrong. Never leaves `wire/bgp`: whoever knows which attribute or message the field
 * belongs to turns it into one of the three above.
 */
export class Malformed extends Error {
  /** UPDATE subcode for when only a reset is left; 0 = that of the attribute. */
  readonly subcode: number;

  constructor(reason: string, subcode = 0) {
    super(reason);
    this.name = 'Malformed';
    this.subcode = subcode;
  }
}

/** An UPDATE that cannot be read on: code 3. */
export function resetUpdate(subcode: number, reason: string, data?: Uint8Array): SessionReset {
  return new SessionReset(ErrorCode.Update, subcode, reason, data);
}
