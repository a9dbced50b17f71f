/**
 * The page as it was built, and what a browser may do with it: run the one script and use the one style
 * that are in it, and talk to where it came from. Nothing else, whatever may ever get into it.
 * @module
 */
import { createHash } from 'node:crypto';
import { builtFile } from '../../sys/host/paths.ts';
import { PlainAnswer } from '../admin/admin.ts';

/** The source of a Content Security Policy that allows an inline element with just this text. */
function hashOf(page: string, element: string): string {
  const [, text] = new RegExp(`<${element}>([\\s\\S]*?)</${element}>`).exec(page) ?? [];
  if (text === undefined) throw new Error(`the page has no ${element}`);
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** Headers for whatever the page's server answers. */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** The page with its headers. @throws Error when it was not built. */
export function pageAnswer(): PlainAnswer {
  const page = Buffer.from(builtFile('web.html')).toString('utf8');
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(page, 'script')}`,
    `style-src ${hashOf(page, 'style')}`,
    "connect-src 'self'",
    // An empty icon, so that browsers do not ask for one.
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
  return new PlainAnswer('text/html; charset=utf-8', page, {
    ...SAFE_HEADERS,
    'content-security-policy': policy,
  });
}
