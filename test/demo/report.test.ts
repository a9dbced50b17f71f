import t from 'tap';
import type { OverlayResult } from '../../src/demo/measure.ts';
import { type DemoReport, judge, renderReport } from '../../src/demo/report.ts';
import { grouped, renderMarkdown, renderTable } from '../../src/measure/table.ts';

const result: OverlayResult = {
  echo: {
    pairs: 30,
    answered: 30,
    sent: 600,
    received: 600,
    rttMinUs: 1,
    rttAvgUs: 2,
    rttP99Us: 3,
  },
  tcp: { bytes: 1, seconds: 1, sha256: 'abcdef0123', equal: true },
  gbps: 9.876,
  udp: [
    { sent: 1000, received: 1000, lost: 0, duplicates: 0, latencyP99Us: 1 },
    { sent: 1000, received: 995, lost: 5, duplicates: 0, latencyP99Us: 1 },
  ],
};
const counted = {
  host: 'host1',
  egressReceived: 12,
  egressDelivered: 10,
  ingressReceived: 5,
  ingressDelivered: 5,
  drops: { 'egress.drop.ipv6': 2 },
  unaccounted: 0,
};
const report = (change: Partial<OverlayResult>, count: Partial<typeof counted> = {}) => {
  return {
    seconds: 1,
    problems: [],
    overlays: [
      {
        overlay: 'vxlan',
        by: 'fanway',
        upMs: 1,
        result: { ...result, ...change },
        counted: [{ ...counted, ...count }],
      },
      { overlay: 'kernel', by: 'kernel', skipped: 'this kernel has no VXLAN device' },
    ],
  } satisfies DemoReport;
};

t.test('judge() finds what did not arrive', async (t) => {
  t.same(judge(report({})), []);
  const { echo, tcp, udp } = result;
  const cases: [RegExp, Partial<OverlayResult>, Partial<typeof counted>?][] = [
    [/1 of 30 pairs/, { echo: { ...echo, answered: 29 } }],
    [/changed or incomplete/, { tcp: { ...tcp, equal: false } }],
    [/UDP lost 11 of 1000/, { udp: udp.map((way) => ({ ...way, lost: 11 })) }],
    [/cannot account for 3/, {}, { unaccounted: 3 }],
    [/no router counted/, {}, { ingressDelivered: 0 }],
  ];
  for (const [want, change, count] of cases) t.match(judge(report(change, count))[0], want);
});

t.test('renderReport() shows figures, counts, skips and problems', async (t) => {
  const text = renderReport(report({}));
  t.match(
    text,
    /fanway vxlan +30\/30 +0 % +2 \/ 3 us +equal abcdef01 +9\.88 +0 % of 1,000 +0\.50 % of 1,000/,
  );
  t.match(text, /kernel VXLAN +skipped: this kernel has no VXLAN device/);
  t.match(text, /its fanway \(vxlan\) +10 +5 +egress ipv6 2/);
  t.match(text, /Everything arrived/);
  const bad = renderReport({ ...report({}), problems: ['this and that'] });
  t.match(bad, /NOT as it should be:\n {2}this and that/);
  t.notMatch(bad, /Everything arrived/);
});

t.test('tables', async (t) => {
  const columns = [{ title: 'name' }, { title: 'n', align: 'right' as const }];
  const rows = [['a', '1'], ['long one', '22'], ['short']];
  t.equal(
    renderTable(columns, rows),
    ['name       n', '--------  --', 'a          1', 'long one  22', 'short'].join('\n'),
  );
  t.equal(
    renderMarkdown(columns, [['a|b', '1']]),
    ['| name | n |', '| --- | ---: |', '| a\\|b | 1 |'].join('\n'),
  );
  t.equal(grouped(1234567.4), '1,234,567');
  t.equal(grouped(999), '999');
});
