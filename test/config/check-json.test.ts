/** A configuration as `check --json` prints it: addresses and MACs as they are written, never as numbers. And the examples. */
import t from 'tap';
import { configJson } from '../../src/cli/fans/check.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { parseValue, SETTINGS } from '../../src/config/schema.ts';

const TEXT = `[gossip]
bind = 172.30.0.28
advertise = 172.30.0.28, 172.31.0.28
[fan]
overlay = 250.0.0.0/8
underlay = 172.30.0.28/16, eth1/16
[network]
name = blue
vni = 100
bum = service-node
service-nodes = 172.30.9.1
peers = 172.30.9.9
outer = 198.51.100.7
dhcp-server = 02:42:0a:01:00:35
labels = 02:42:0a:01:00:07 db
deny = to label:db
`;

/** All numbers in a value, wherever they stand. */
function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(numbersIn);
}

t.test('addresses are text', async (t) => {
  const { config, problems } = parseConfig(TEXT);
  t.same(problems, []);
  if (config === undefined) throw new Error('a configuration');
  const json = configJson(config);
  t.match(json, {
    gossip: { bind: '172.30.0.28', advertise: ['172.30.0.28', '172.31.0.28'] },
    fans: [{ overlay: '250.0.0.0/8', underlay: '172.30.0.28/16', further: ['eth1/16'] }],
    networks: [
      {
        ...{ peers: ['172.30.9.9'], serviceNodes: ['172.30.9.1'], outer: '198.51.100.7' },
        dhcpServers: ['02:42:0a:01:00:35'],
      },
    ],
    policies: [
      {
        ...{ network: 'blue', rules: ['deny to label:db'] },
        labels: [['02:42:0a:01:00:07', ['db']]],
      },
    ],
  });
  t.same(
    numbersIn(json).filter((one) => one > 0xffff),
    [],
    'and nothing is left that may be one',
  );
});

t.test('what the example configuration says of a setting is one of its values', async (t) => {
  const shown = SETTINGS.filter(({ example }) => example !== '');
  t.ok(shown.length > 20, `${shown.length} examples`);
  for (const setting of shown) {
    t.doesNotThrow(
      () => parseValue(setting, setting.example),
      `[${setting.section}] ${setting.key} = ${setting.example}`,
    );
  }
});
