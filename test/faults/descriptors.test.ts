import { spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { promised, sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import {
  BRIDGE,
  checkBalance,
  cpuShares,
  dataProcess,
  descriptorCount,
  noteDeath,
  nowMs,
  picture,
  settledDescriptors,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun() || skipWithoutPrlimit();
const CLIENTS = 1000;

function skipWithoutPrlimit(): string | false {
  const { error } = spawnSync('prlimit', ['--version'], { stdio: 'ignore' });
  return error !== undefined && 'needs prlimit (util-linux) to lower a limit of a running process';
}

/** Lets a process open `more` descriptors and no further one. */
function leaveDescriptors(pid: number, more: number): void {
  limitDescriptors(pid, descriptorCount(pid) + more);
}

function limitDescriptors(pid: number, count: number): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--nofile=${count}:`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

/** Opens `count` connections to the admin socket, says nothing on them, and returns them. */
async function crowd(host: LabHost, count: number): Promise<Socket[]> {
  const path = join(host.runDirectory, 'control.sock');
  const sockets = Array.from({ length: count }, () => {
    const socket = connect(path);
    socket.on('error', () => undefined);
    return socket;
  });
  await sleep(500);
  return sockets;
}

t.test('no more descriptors', { skip }, async (t) => {
  const { a, b, pulse } = await startRig(t);
  const { pid } = await statusOf(a);
  const before = await picture(a);
  const descriptors = await settledDescriptors(pid);
  const startMs = nowMs();

  // 1. Another fan.
  leaveDescriptors(pid, 4);
  const up = runFanway(a, ['up', '251.0.0.0/8', 'eth0/16', '--port', '4790']);
  await t.rejects(
    up,
    { message: /EMFILE \(no more open files allowed to this process: raise its limit/ },
    'a second up says what is missing',
  );
  await up.catch((error: Error) => t.comment(error.message));
  t.same(await picture(a), before, 'and leaves nothing behind');
  t.equal((await statusOf(a)).links.length, 1);
  t.equal(await settledDescriptors(pid), descriptors, 'no descriptor leaked');

  // 2. A crowd at the admin socket.
  let clients: Socket[] = [];
  // A command that takes seconds to start finds those gone that said nothing: then it is tried with others.
  await until('a command is told of the crowd', 60_000, async () => {
    for (const client of clients) client.destroy();
    clients = await crowd(a, CLIENTS);
    const said = await runFanway(a, ['status']).catch((error: Error) => error.message);
    return /hung up: too many ask it at once/.test(said);
  });
  const [share = 1] = await cpuShares([pid], 1000);
  t.ok(share < 0.3, `control does not spin (${Math.round(share * 100)} %)`);
  await until('status answers in the crowd', 8000, () => statusOf(a).catch(() => undefined)).then(
    () => t.pass('status answers once the silent ones have been shown out'),
    () => t.fail('status answers once the silent ones have been shown out'),
  );
  for (const client of clients) client.destroy();
  await until('the crowd is gone', 5000, () => descriptorCount(pid) <= descriptors + 1);

  const { longestMs, lost } = pulse.gaps(startMs);
  t.comment(`meanwhile: longest silence ${Math.round(longestMs)} ms, ${lost} lost`);
  promised(t, 'longest silence', longestMs, 500);
  t.ok(lost <= 5, 'forwarding was not affected');

  // 3. The data process dies: a new one cannot be started, and is tried again.
  const killed = await dataProcess(a);
  limitDescriptors(pid, 20);
  noteDeath(a);
  killIfThere(killed.pid);
  const [waiting = 1] = await cpuShares([pid], 1000);
  t.ok(waiting < 0.3, `control does not spin (${Math.round(waiting * 100)} %)`);
  limitDescriptors(pid, 1024);
  const back = await pulse.back(nowMs(), 10_000);
  t.comment(`with descriptors again: back after ${Math.round(back)} ms`);
  const successor = await until('the socket is back', 3000, () =>
    dataProcess(a).catch(() => undefined),
  );
  t.not(successor.pid, killed.pid);
  t.equal(successor.restarts, 1);
  t.equal((await statusOf(a)).pid, pid, 'control lived through all of it');

  // 4. And what was refused works now.
  await runFanway(a, ['up', '251.0.0.0/8', 'eth0/16', '--port', '4790']);
  t.equal((await statusOf(a)).links.length, 2);
  await runFanway(a, ['down', '251.0.0.0/8', 'eth0/16']);
  t.same(await picture(a), before);
  t.ok(await a.netlink.findLink(BRIDGE));
  pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
});
