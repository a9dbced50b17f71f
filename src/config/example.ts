/**
 * The example configuration, made from the schema table so that it cannot go out of date.
 * @module
 */
import type { Setting } from './row/setting.ts';
import { SETTINGS } from './schema.ts';

/** The text of packaging/fanway.conf.example. */
export function exampleConfig(): string {
  const lines = [
    '# fanway.conf: an example made from the settings table (`fanway check --example`).',
    '# Lines that begin with # show the default. Check a file with `fanway check -c FILE`.',
    '',
  ];
  for (const section of [
    'router',
    'gossip',
    'bgp',
    'bgp-neighbor',
    'bgp-network',
    'network',
    'fan',
  ] as const) {
    const why = OPTIONAL.get(section);
    if (why !== undefined) lines.push(`# ${why}`, `#[${section}]`);
    else lines.push(`[${section}]`);
    const isOff = why !== undefined;
    for (const setting of SETTINGS) {
      if (setting.section === section) lines.push(...describe(setting, isOff));
    }
    lines.push('');
  }
  return lines.join('\n').replace(/\n+$/, '\n');
}

/** Sections that are there only for those who ask for them. */
const OPTIONAL = new Map<Setting['section'], string>([
  ['gossip', 'Without this line there is no gossip.'],
  ['bgp', 'Without this line there is no BGP.'],
  ['bgp-neighbor', 'One section for each neighbour.'],
  ['bgp-network', 'One section for each network that is not marked by its VNI alone.'],
  ['network', 'One section for each layer-2 network.'],
]);

/** Of the settings that are no row of a link's. */
const EXAMPLES = new Map([
  ['seeds', '172.30.0.28, 172.30.1.27'],
  ['bind', '172.30.0.28'],
  ['advertise', '172.30.0.28'],
  ['name', 'host-a'],
  ['key-file', '/etc/fanway/gossip.key'],
  ['as', '65000'],
  ['router-id', '172.30.0.28'],
  ['vtep', '172.30.0.28'],
  ['vteps', '172.30.0.0/16'],
  ['vnis', '100, 200'],
  ['bgp-network vni', '100'],
  ['rd', '172.30.0.28:100'],
  ['import-targets', '*:100'],
  ['export-targets', '65000:100'],
  ['address', '172.30.255.1'],
  ['import', 'all'],
  ['export', 'all'],
  ['md5-file', '/etc/fanway/bgp.key'],
  ['description', 'spine-1'],
]);

function describe(setting: Setting, isOff: boolean): string[] {
  const facts = [
    setting.choices === undefined ? '' : setting.choices.join(' | '),
    setting.min === undefined ? '' : `${setting.min} to ${setting.max}`,
    setting.type === 'boolean' ? 'yes | no' : '',
    setting.unit,
    setting.reloadable ? '' : 'needs a restart',
  ].filter(Boolean);
  const example = setting.example || EXAMPLES.get(`${setting.section} ${setting.key}`);
  const value = setting.default || (example ?? EXAMPLES.get(setting.key) ?? '');
  return [
    `# ${setting.doc}${facts.length === 0 ? '' : ` (${facts.join('; ')})`}`,
    `${setting.required && !isOff ? '' : '#'}${setting.key} = ${value}`,
  ];
}
