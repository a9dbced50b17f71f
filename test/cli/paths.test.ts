import t from 'tap';
import type { PingResult } from '../../src/cli/paths/ping.ts';
import type { TestResult } from '../../src/cli/paths/test.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { fanway, statusOf } from '../control/lab-router.ts';
import { allAlive, joinHost, makeCluster, runFanway } from '../netns/gossip/cluster.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong;

async function pingOf(host: LabHost, ...words: string[]): Promise<PingResult> {
  const { out, err } = await fanway(host, 'ping', ...words, '--json');
  const [result] = JSON.parse(out) as PingResult[];
  if (result === undefined) throw new Error(err);
  return result;
}

t.test('ping and test name the cause, and whose it is', { skip }, async (t) => {
  const cluster = await makeCluster(t, { hosts: 3, fans: false });
  const { hosts, lab } = cluster;
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  for (const host of hosts) {
    const odd = host === c ? ['--vni', '77'] : [];
    await runFanway(host, ['up', '250.0.0.0/8', 'eth0/16', ...odd]);
    await joinHost(cluster, host);
  }
  await allAlive(hosts);

  const text = await fanway(a, 'ping', 'host2');
  t.match(text, { code: 0, out: /host2 \(172\.30\.1\.27\) in 250\.0\.0\.0\/8/ }, text.err);
  t.match(text.out, /underlay 172\.30\.1\.27 +30\/30 .* 1500 /);
  t.match(text.out, /tunnel 250\.1\.27\.1 +30\/30 .* 1450 /);
  t.match(text.out, /outer ports: (1[0-6]) of \1 tried answer \([1-9]\d* to \d+\)/);
  t.match(text.out, /^all is well$/m);
  const byAddress = await pingOf(a, formatIpv4(b.address), '--count', '2');
  t.match(byAddress, { address: '250.1.27.1', tunnel: { sent: 22, received: 22 } });
  t.match(await pingOf(a, '250.1.27.1', '--count', '2'), { name: 'host2', host: '172.30.1.27' });

  const odd = await fanway(a, 'ping', 'host3', '--count', '3');
  t.equal(odd.code, 1);
  t.match(odd.out, /the far side drops: ingress\.drop\.wrong_vni \d+: another --vni/);
  t.match(await fanway(c, 'ping', 'host1', '--count', '3'), {
    code: 1,
    out: /far side drops: ingr/,
  });
  t.match(await fanway(a, 'ping', 'nobody'), { code: 3, err: /no member that shares a fan/ });
  t.match(await fanway(a, 'ping', 'host1'), { code: 3, err: /this host itself/ });
  t.match(await fanway(a, 'ping'), { code: 2 });

  const all = await fanway(a, 'test', '--json');
  t.equal(all.code, 1, `${all.err}${all.out.slice(0, 200)}`);
  const result = JSON.parse(all.out) as TestResult;
  t.same(new Set(result.hosts), new Set(['host1', 'host2', 'host3']));
  t.equal(result.pairs.length, 6, 'every pair, both ways');
  t.same(result.problems, []);
  for (const { fromName, name, verdict, underlay, tunnel } of result.pairs) {
    const isOdd = fromName === 'host3' || name === 'host3';
    t.equal(verdict.isWell, !isOdd, `${fromName} to ${name}: ${verdict.text}`);
    t.equal(underlay.received, underlay.sent);
    t.equal(tunnel.received, isOdd ? 0 : tunnel.sent);
    if (isOdd) t.match(verdict.text, /sides? drops?: ingress\.drop\.wrong_vni/);
    else t.match(tunnel, { mtu: 1450, reordered: 0 });
  }
  const few = await fanway(a, 'test', 'host2');
  t.match(few.out, /^host2 +\. +\d\S*\|\d\S* +\d\S*\|none !$/m);
  t.match(
    few.out,
    /^! host2 -> host3 \(250\.0\.0\.0\/8\): (the far side drops|what left this host)/m,
  );
  t.match(await fanway(a, 'test', 'nobody'), { code: 1, err: /nobody: no member that lives/ });

  await t.test('after a restart, and with a host that is gone', async (t) => {
    process.kill((await statusOf(b)).pid, 'SIGKILL');
    await runFanway(b, ['wait', '--members', '2', '--timeout', '60']);
    t.match(await pingOf(a, 'host2'), { verdict: { isWell: true } }, 'its router was killed');
    await runFanway(b, ['down', '-e']);
    const refused = await pingOf(a, formatIpv4(b.address), '--count', '5');
    t.match(refused.verdict, { isWell: false, text: /far side refuses: nobody listens on UDP/ });
  });
});
