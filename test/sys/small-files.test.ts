import t from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { parseResolvers } from '../../src/sys/host/resolvers.ts';
import { countPorts } from '../../src/sys/sockets/ephemeral-ports.ts';

t.test('countPorts() counts a range without the reserved ones', async (t) => {
  const table: [range: string, reserved: string, count: number][] = [
    ['32768\t60999', '', 28_232],
    ['60000 60010', '', 11],
    ['60000 60010', '60000-60007', 3],
    ['60000 60010', '4789,60003,60009-61000', 8],
    ['60000 60010', '1-65535', 0],
    ['60010 60000', '', 0],
    ['what', '', 0],
  ];
  for (const [range, reserved, count] of table) {
    t.equal(countPorts(range, reserved), count, `${range} less ${reserved}`);
  }
});

t.test('parseResolvers() finds servers that containers can ask', async (t) => {
  const table: [text: string, found: string[]][] = [
    ['nameserver 10.0.0.2\n', ['10.0.0.2']],
    ['# one\nsearch example\nnameserver 127.0.0.53\noptions edns0\n', []],
    ['nameserver ::1\nnameserver fe80::1%eth0\nnameserver 999.1.1.1\n', []],
    ['  nameserver\t9.9.9.9 \nnameserver 9.9.9.9\nnameserver 0.0.0.0', ['9.9.9.9']],
    [
      'nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4',
      ['1.0.0.1', '1.0.0.2', '1.0.0.3'],
    ],
  ];
  for (const [text, found] of table) t.same(parseResolvers(text).map(formatIpv4), found, text);
});
