import t from 'tap';
import { FAN_ROWS } from '../../src/config/link/fan-rows.ts';
import { NETWORK_ROWS } from '../../src/config/network/rows.ts';
import { findRoot, readSources, withoutComments } from './sources.ts';

const root = findRoot();
const skip = root === '' && 'the sources are not beside the tests';

/** The row, what uses it, and what stands beside that. */
const FILES_MAX = 4;

/**
 * Settings whose names are words of the code around them too (a bridge, a rate), and those that are older than
 * the rows and reach through all planes. A new one has a name of its own, unless it is a word of the field.
 */
const EVERYWHERE = new Set([
  ...[
    'overlay',
    'underlay',
    'underlayMode',
    'xmitHashPolicy',
    'encap',
    'port',
    'vni',
    'compat',
    'mtu',
  ],
  ...[
    'dhcp',
    'hostReserve',
    'bridge',
    'device',
    'offload',
    'dscp',
    'sourcePort',
    'nat',
    'keepAlive',
  ],
  ...['rate', 'flowKeys', 'peerRates', 'datapath', 'masquerade', 'off', 'force', 'network', 'bum'],
  ...[
    'guard',
    'replicator',
    'addresses',
    'peers',
    'dhcpServers',
    'routers',
    'outer',
    'ipam',
    'arp',
  ],
  ...['allow', 'deny', 'labels'],
]);

t.test('a setting is a row and what uses it, and nothing between', { skip }, async (t) => {
  const sources = readSources(root, 'src').map(({ path, text }) => {
    return { path, text: withoutComments(text) };
  });
  const rows = { ...FAN_ROWS, ...NETWORK_ROWS };
  const filesOf = (field: string, key: string): string[] => {
    const word = new RegExp(`\\b${field}\\b|(?<![a-z-])${key}(?![a-z-])`);
    return sources.filter(({ text }) => word.test(text)).map(({ path }) => path);
  };
  t.ok(Object.keys(rows).length > 35, `${Object.keys(rows).length} settings`);
  for (const [field, { key }] of Object.entries(rows)) {
    const files = filesOf(field, key);
    t.ok(files.length > 0, `${field}: ${files.length} files`);
    if (!EVERYWHERE.has(field)) t.ok(files.length <= FILES_MAX, `${field}: ${files.join(', ')}`);
  }
  for (const field of EVERYWHERE) t.ok(field in rows, `${field} is a setting still`);
  t.ok(filesOf('hostReserve', 'host-reserve').length > FILES_MAX, 'the count sees the old ones');
});
