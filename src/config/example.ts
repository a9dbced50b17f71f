/**
 * The example configuration, made from the schema table so that it cannot go out of date.
 * @module
 */
import { SETTINGS, type Setting } from './schema.ts';

/** The text of packaging/fanway.conf.example. */
export function exampleConfig(): string {
  const lines = [
    '# fanway.conf: an example made from the settings table (`fanway check --example`).',
    '# Lines that begin with # show the default. Check a file with `fanway check -c FILE`.',
    '',
  ];
  for (const section of ['router', 'gossip', 'fan'] as const) {
    if (section === 'gossip') lines.push('# Without this line there is no gossip.', '#[gossip]');
    else lines.push(`[${section}]`);
    for (const setting of SETTINGS) {
      if (setting.section === section) lines.push(...describe(setting));
    }
    lines.push('');
  }
  return lines.join('\n').replace(/\n+$/, '\n');
}

const EXAMPLES = new Map([
  ['overlay', '250.0.0.0/8'],
  ['underlay', 'default/16'],
  ['bridge', 'fan-250-0-28'],
  ['port', '4789'],
  ['vni', '16384000'],
  ['mtu', '1450'],
  ['seeds', '172.30.0.28, 172.30.1.27'],
  ['bind', '172.30.0.28'],
  ['advertise', '172.30.0.28'],
  ['name', 'host-a'],
  ['key-file', '/etc/fanway/gossip.key'],
]);

function describe(setting: Setting): string[] {
  const facts = [
    setting.choices === undefined ? '' : setting.choices.join(' | '),
    setting.min === undefined ? '' : `${setting.min} to ${setting.max}`,
    setting.type === 'boolean' ? 'yes | no' : '',
    setting.unit,
    setting.reloadable ? '' : 'needs a restart',
  ].filter(Boolean);
  const value = setting.default === '' ? (EXAMPLES.get(setting.key) ?? '') : setting.default;
  return [
    `# ${setting.doc}${facts.length === 0 ? '' : ` (${facts.join('; ')})`}`,
    `${setting.required ? '' : '#'}${setting.key} = ${value}`,
  ];
}
