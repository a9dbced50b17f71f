import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { killAllIn, processesIn } from '../../src/demo/processes.ts';
import { runFanway } from '../../src/demo/router.ts';
import { readSysctl, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
import { promised, sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import {
  attach,
  BRIDGE,
  checkBalance,
  countersOf,
  nowMs,
  OVERLAY,
  Pulse,
  picture,
  spread,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
/** A life this long makes the shell start the next one at once. */
const LIFE_MS = 5200;
const ANSWERS_MS = 3000;
const ALONE_MS = 3000;
/** Longest silence while one data process takes over from the orphan of another. */
const HANDOVER_MS = 1000;

async function anotherControl(host: LabHost, than: number): Promise<number> {
  return until('another control process', 10_000, async () => {
    const status = await statusOf(host).catch(() => undefined);
    return status !== undefined && status.pid !== than && status.pid;
  });
}

/** Of the data process, where fanway forwards itself; 0 where the kernel does. */
async function forwarderOf(host: LabHost): Promise<number> {
  return (await statusOf(host)).processes[0]?.pid ?? 0;
}

t.jobs = 2;
for (const { name: datapath, flags } of DATAPATHS) {
  const isKernel = datapath === 'kernel';
  const skipOne = skip || (isKernel && skipLong);
  const controls = `kill -9 of control, six times under traffic, forwarded by ${datapath}`;
  t.test(controls, { skip: skipOne, buffered: true }, async (t) => {
    const { a, b, pulse } = await startRig(t, { up: [...flags] });
    const pictures = new Map([
      [a, await picture(a)],
      [b, await picture(b)],
    ]);
    const startMs = nowMs();
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      await sleep(LIFE_MS);
      for (const host of [a, b]) {
        const { pid } = await statusOf(host);
        const orphan = await forwarderOf(host);
        const killedMs = nowMs();
        process.kill(pid, 'SIGKILL');
        // Who forwards goes on: what is asked right now is answered right away.
        const back = await pulse.back(killedMs, 5000);
        promised(t, 'it is forwarded on', back, 100);
        await anotherControl(host, pid);
        times.push(nowMs() - killedMs);
        const status = await statusOf(host);
        t.match(status.links, [{ state: 'up', datapath, repairs: 0 }]);
        t.equal(processesIn(host.namespace.inode).length, isKernel ? 2 : 3, 'each process once');
        t.same(await picture(host), pictures.get(host), 'no device, address or route doubled');
        if (isKernel) continue;
        t.not(status.processes[0]?.pid, orphan);
        t.equal(status.processes[0]?.alive, true);
        t.notOk(existsSync(`/proc/${orphan}/exe`), 'the orphan was ended');
      }
    }
    const { p50, max } = spread(times);
    const { longestMs, lost, doubled } = pulse.gaps(startMs);
    t.comment(
      `status answers after: p50 ${p50} ms, worst ${max} ms (${times.map(Math.round).join(' ')})`,
    );
    t.comment(`longest silence ${Math.round(longestMs)} ms, ${lost} of ${pulse.beats.length} lost`);
    promised(t, 'status answers again', max, ANSWERS_MS);
    promised(t, 'longest silence', longestMs, HANDOVER_MS);
    t.equal(doubled, 0);
    if (isKernel) t.equal(lost, 0, 'the kernel loses none');
    for (const host of [a, b]) {
      const said = readFileSync(new RunDirectory(host.runDirectory).log, 'utf8');
      t.notMatch(said, 'is opened anew', 'devices and sockets stayed open all along');
    }
    pulse.stop();
    await sleep(200);
    // Of a data process they begin anew with each control process, and balance from then on.
    for (const host of [a, b]) {
      await checkBalance(t, host);
      const all = (await countersOf(host))['egress.delivered'] ?? 0;
      if (isKernel) t.ok(all >= pulse.beats.length, `the kernel's counters went on: ${all}`);
    }
  });

  const everything = `kill -9 of everything, then up and down, forwarded by ${datapath}`;
  t.test(everything, { skip: skipLong || skip, buffered: true }, async (t) => {
    const { lab, a, b, from, to, pulse } = await startRig(t, { up: [...flags] });
    const up = ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, ...flags];
    // Somebody else's bridge, address, route and setting on either host.
    const foreign = new Map<LabHost, string[]>();
    const bare = async (host: LabHost) =>
      (await picture(host)).filter((line) => / (br-other|9\.9\.\S+) /.test(line));
    for (const host of [a, b]) {
      await host.netlink.createBridge('br-other', { up: true });
      await host.netlink.addAddress('br-other', 0x0909_0901, 24);
      await host.netlink.addRoute({ dst: { address: 0x0909_0a00, length: 24 }, via: 0x0909_0909 });
      host.run(() => writeSysctl('net/ipv4/conf/br-other/rp_filter', '1'));
      foreign.set(host, await bare(host));
    }
    const whole = withoutIndexes(await picture(a));

    // First all but who forwards: without anybody to restart control it goes on.
    const startMs = nowMs();
    for (const host of [a, b]) {
      const orphan = await forwarderOf(host);
      for (const pid of processesIn(host.namespace.inode)) if (pid !== orphan) killIfThere(pid);
    }
    await sleep(ALONE_MS);
    const alone = pulse.gaps(startMs);
    t.ok(alone.lost <= 1 && alone.doubled === 0, `alone for 3 s: ${alone.lost} lost`);
    const sent = pulse.beats.filter((beat) => beat.sentMs > startMs).length;
    t.ok(sent > 30, `${sent} were sent`);

    for (const host of [a, b]) {
      killAllIn(host.namespace.inode);
      t.same(processesIn(host.namespace.inode), []);
      t.ok(await host.netlink.findLink(BRIDGE), 'the devices outlive everything');
    }
    if (isKernel) t.ok(await pulse.back(nowMs(), 5000), 'and the kernel forwards on');
    pulse.stop();

    await runFanway(a, up);
    await attach(a);
    t.same(withoutIndexes(await picture(a)), whole, 'up: as it was, nothing twice');
    t.match((await statusOf(a)).links, [{ state: 'up', datapath }]);
    // With a container on it the bridge would stay.
    await to.detach();
    await runFanway(b, ['down', OVERLAY, 'eth0/16']);
    t.equal(await b.netlink.findLink(BRIDGE), undefined);
    t.same(
      (await picture(b)).filter((line) => /fanway:| 250\./.test(line)),
      [],
      'down: nothing of ours is left',
    );
    t.same(processesIn(b.namespace.inode), []);
    t.same(readdirSync(join(b.runDirectory, 'journal')), []);

    await runFanway(b, up);
    await attach(b);
    const again = await Pulse.start(from, to);
    t.teardown(() => again.stop());
    promised(t, 'traffic is back', await again.back(nowMs(), 5000), 1000);
    again.stop();
    await sleep(200);
    for (const host of lab.hosts) {
      await checkBalance(t, host);
      t.same(await bare(host), foreign.get(host), 'what others made is untouched');
      t.equal(
        host.run(() => readSysctl('net/ipv4/conf/br-other/rp_filter')),
        '1',
      );
    }
  });
}

/** Devices made anew have new indexes and MACs; everything else must be equal. */
function withoutIndexes(lines: readonly string[]): string[] {
  const named: Record<string, number[]> = { link: [1, 6, 8], address: [1], route: [3] };
  return lines
    .map((line) => {
      const words = line.split(' ');
      return words.filter((_, i) => named[words[0] ?? '']?.includes(i) !== true).join(' ');
    })
    .sort();
}
