/**
 * Fans as other programs write them down: LXD's network of mode `fan` (`lxc network show NAME`) and
 * juju's `fan-config`. Both hold a few known keys, which is all that is read of them.
 * @module
 */

/** The words of `fanway up`, or what is wrong. */
export type Found = { words: string[]; notes: string[] } | { problem: string };

const AUTO = 'auto';
/** What `fan.type` is to `up`. */
const WORDS_BY_TYPE: Readonly<Record<string, readonly string[]>> = {
  vxlan: ['--compat', 'lxd'],
  ipip: ['--encap', 'ipip'],
};
const LXD_OVERLAY = '240.0.0.0/8';
const PREFIX = /^\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2}$/;

/** The flat keys of a YAML map, with those one level below `config:` among them. */
function keysOf(text: string): Map<string, string> {
  const keys = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value = ''] = /^ *([a-z][a-z0-9._-]*): *(.*?) *$/i.exec(line) ?? [];
    if (key !== undefined) keys.set(key, value.replace(/^(["'])(.*)\1$/, '$2'));
  }
  return keys;
}

/** A fan of LXD's. */
export function readLxdNetwork(text: string): Found {
  const keys = keysOf(text);
  if (keys.get('bridge.mode') !== 'fan') {
    return { problem: 'this is no LXD network with bridge.mode: fan (lxc network show NAME)' };
  }
  const overlay = keys.get('fan.overlay_subnet') ?? LXD_OVERLAY;
  const underlay = keys.get('fan.underlay_subnet') ?? AUTO;
  const type = keys.get('fan.type') ?? 'vxlan';
  const notes: string[] = [];
  const words = [overlay];
  if (underlay === AUTO) {
    words.push('default/16');
    notes.push(
      "LXD's `auto` is the network of the default route with its own length: compare /16 with it",
    );
  } else words.push(underlay);
  words.push(...(WORDS_BY_TYPE[type] ?? WORDS_BY_TYPE['vxlan'] ?? []));
  const mtu = keys.get('bridge.mtu');
  if (mtu !== undefined && /^\d+$/.test(mtu)) words.push('--mtu', mtu);
  if (keys.get('ipv4.nat') === 'false') words.push('--no-masquerade');
  const name = keys.get('name');
  if (name !== undefined) {
    notes.push(
      `${name} hands out addresses by DHCP to its own containers: add dhcp for the same, and give each profile the new bridge`,
    );
  }
  return { words, notes };
}

/** The fans of juju's `fan-config`: `UNDERLAY=OVERLAY`, separated by blanks. */
export function readJujuConfig(text: string): Found[] {
  const line = /^ *(?:fan-config *[:=] *)?["']?([^"'\n]*=[^"'\n]*?)["']? *$/m.exec(
    text.trim(),
  )?.[1];
  if (line === undefined) return [{ problem: 'juju writes fan-config as UNDERLAY=OVERLAY' }];
  return line
    .trim()
    .split(/\s+/)
    .map((pair): Found => {
      const [underlay = '', overlay = ''] = pair.split('=');
      if (!PREFIX.test(underlay) || !PREFIX.test(overlay)) {
        return { problem: `${JSON.stringify(pair)} is not UNDERLAY=OVERLAY` };
      }
      return { words: [overlay, underlay], notes: [] };
    });
}

/** What a text is, by its content. */
export function kindOfSource(text: string): 'lxd' | 'juju' | 'file' {
  if (/^ *(?:bridge\.mode|fan\.[a-z_]+): /m.test(text)) return 'lxd';
  const isPair = /^ *(?:fan-config *[:=] *)?["']?\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2}=\d/m;
  return isPair.test(text) || /^ *fan-config *[:=]/m.test(text) ? 'juju' : 'file';
}
