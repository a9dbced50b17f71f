/** What `fanway check` finds in a file beyond its single settings, and what it says of one that is right. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { check } from '../../src/cli/fans/check.ts';
import { runVerb } from '../../src/cli/verb/verb.ts';
import { parseConfig } from '../../src/config/parse.ts';

const TWO = '[fan]\noverlay = 250\nunderlay = eth0\n[fan]\noverlay = 251\nunderlay = default\n';

t.test('what no host could make is told, with its line', async (t) => {
  const fan = '[fan]\noverlay = 250.0.0.0/8\nunderlay = eth0/16\n';
  const other = '[fan]\noverlay = 251.0.0.0/8\nunderlay = eth0/16\n';
  const six = '[fan]\noverlay = fd00:fa::/32\nunderlay = eth0/16\n';
  const blue = '[network]\nname = blue\nvni = 100\n';
  const over = (underlay: string): string => fan.replace('eth0/16', underlay);
  for (const [text, line, message] of [
    [over('eth0/16,eth1/17'), 3, /eth1\/17: all underlays .* width of the first, \/16/],
    [over('eth0/64,eth1/64'), 3, /by the last 32 bits/],
    [over('172.30.0.28/16,172.30.9.9/16'), 3, /network of another underlay/],
    [`${six}encap = fou\ndatapath = kernel\n`, 5, /its device of fou takes IPv4 alone/],
    [`${fan}rate = 95M\ndatapath = kernel\n`, 5, /--rate has packets wait/],
    [`${fan.replace('/8', '/12')}host-reserve = 14\n`, 4, /use at most 13/],
    [`${six}dhcp = yes\n`, 4, /dhcp hands out IPv4/],
    [`${six}mtu = 1000\n`, 4, /1280 bytes .* mtu is 1000/],
    [`${fan}bridge = b0\nmtu = 1000\n${six}bridge = b0\n`, 6, /mtu is 1000/],
    [`${fan}datapath = kernel\n${other}`, 5, /port 4789 .* line 1, .* needs alone/],
    [`${fan}datapath = kernel\n${blue}`, 5, /port 4789 .* line 1, .* needs alone/],
    [`${fan}vni = 7\n${other}vni = 7\n`, 5, /VNI 7 of the one on line 1/],
    [`${fan}${other}encap = fou\nport = 4789\n`, 4, /port 4789 carries vxlan/],
    [`${fan}vni = 100\n${blue}underlay = eth0/16\n`, 5, /VNI 100 of the fan/],
    [`${fan}bridge = br-blue\n${blue}`, 5, /bridge br-blue of the fan on line 1/],
    [`${blue}underlay = eth0/16\nouter = fd00::1\n`, 5, /of IPv6, and the underlay is of IPv4/],
    [`${blue}underlay = eth0/16\nipam = 10.1.0.0/16\n`, 5, /too few addresses/],
    [`${blue}underlay = eth0/16\naddress = fd00:9::2/64\nmtu = 1000\n`, 6, /IPv6 needs an MTU/],
    [`${blue}[network]\nname = red\nvni = 100\nport = 4790\n`, 4, /VNI 100/],
  ] as const) {
    const { problems, config } = parseConfig(text);
    t.match(problems, [{ line, message }], text);
    t.equal(problems.length, 1, text);
    t.equal(config, undefined);
  }
  for (const text of [
    over('eth0/16,eth1/16'),
    `${fan}rate = 95M\ndatapath = auto\n`,
    `${fan}datapath = kernel\n${other}port = 4790\n${blue}port = 4791\n`,
    `${fan}datapath = kernel\n${other}enabled = no\n`,
    `${fan}datapath = kernel\n${six}bridge = fan-250-0-28\n`,
    `${fan}${other}${six}${blue}underlay = eth0/16\nipam = 10.0.0.0/8\n`,
  ]) {
    t.strictSame(parseConfig(text).problems, [], text);
  }
});

t.test('check counts what is asked for, and writes addresses as text', async (t) => {
  const path = join(t.testdir(), 'fanway.conf');
  const told = async (text: string, ...flags: string[]): Promise<string> => {
    writeFileSync(path, text, { mode: 0o600 });
    let out = '';
    const io = {
      ...{ err: () => undefined, outBytes: () => false, env: {} },
      out(some: string) {
        out += some;
      },
    };
    t.equal(await runVerb(check, ['-c', path, ...flags], io), 0);
    return out;
  };
  t.match(await told(''), /right, and asks for nothing/);
  const text = `${TWO}enabled = no\n[network]\nname = blue\nvni = 100\npeers = 172.30.9.9\n[gossip]\n`;
  t.match(await told(text), /right, 2 fans \(1 not enabled\), 1 network, gossip\n/);
  t.match(JSON.parse(await told(text, '--json')), {
    fans: [{ overlay: '250.0.0.0/8', underlay: 'eth0/16' }, { overlay: '251.0.0.0/8' }],
    networks: [{ network: 'blue', underlay: null, peers: ['172.30.9.9'] }],
  });
});
