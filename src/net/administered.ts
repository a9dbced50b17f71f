/**
 * Route targets and route distinguishers as people write them: who gives the number, and the number
 * (RFC 4360 §3, RFC 4364 §4.2, RFC 5668).
 * @module
 */
import { parseIpv4 } from './ipv4.ts';

/**
 * `form`: 0 = an AS of two octets and 32 bits, 1 = an IPv4 address and 16, 2 = an AS of four octets and
 * 16. `administrator` null = any.
 */
export type AdministeredText = {
  form: 0 | 1 | 2;
  administrator: number | null;
  assigned: number;
};

const AS2_MAX = 0xffff;
const NUMBER_MAX = 0xffff;
/** What stands for a network behind any administrator: a VNI. */
const WILD_MAX = 0xff_ffff;

function numberIn(text: string, max: number): number {
  const value = /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Number.NaN;
  return value <= max ? value : Number.NaN;
}

/** `65000:100`, `4200000001:100`, `10.0.0.1:100`, `*:100`; undefined for anything else. */
export function parseAdministered(text: string): AdministeredText | undefined {
  const [left = '', right = '', ...rest] = text.split(':');
  if (rest.length > 0) return undefined;
  if (left === '*') {
    const assigned = numberIn(right, WILD_MAX);
    return Number.isNaN(assigned) ? undefined : { form: 0, administrator: null, assigned };
  }
  const isAddress = left.includes('.');
  if (isAddress && !/^\d{1,3}(\.\d{1,3}){3}$/.test(left)) return undefined;
  let administrator: number;
  try {
    administrator = isAddress ? parseIpv4(left) : numberIn(left, 0xffff_ffff);
  } catch {
    return undefined;
  }
  const form = isAddress ? 1 : administrator <= AS2_MAX ? 0 : 2;
  const assigned = numberIn(right, form === 0 ? 0xffff_ffff : NUMBER_MAX);
  if (Number.isNaN(administrator) || Number.isNaN(assigned)) return undefined;
  return { form, administrator, assigned };
}
