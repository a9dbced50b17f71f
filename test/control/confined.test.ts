import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { chooseUser } from '../../src/sys/process/capabilities.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { fanway, statusOf } from './lab-router.ts';

const skip = skipWithoutTun();
/** Where other users may not run this Node or read this checkout, root's data process stays root by number. */
const user = chooseUser([process.execPath, distDirectory()]);
const seccomp = /^Seccomp:/m.test(readFileSync('/proc/self/status', 'utf8'));

t.test(
  'a data process is confined in every thread, and so is its successor',
  { skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    t.equal((await fanway(host, 'up', '250', 'eth0/16')).code, 0);
    let last = 0;
    for (const what of ['the first', 'its successor']) {
      const { processes } = await until(`${what} runs`, 10_000, async () => {
        const status = await statusOf(host);
        const pid = status.processes[0]?.pid ?? 0;
        return pid !== 0 && pid !== last && status.processes[0]?.alive === true && status;
      });
      const [{ pid, confinementGaps } = { pid: 0, confinementGaps: [''] }] = processes;
      const lacking = [
        ...(seccomp ? [] : ['no filter of system calls']),
        ...('reason' in user ? [/its user is root/] : []),
      ];
      t.match(confinementGaps, lacking, `${what}: nothing is missing`);
      t.equal(confinementGaps.length, lacking.length);
      const threads = readdirSync(`/proc/${pid}/task`);
      t.ok(threads.length > 1, `${threads.length} threads`);
      for (const thread of threads) {
        const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
        t.match(text, /^CapBnd:\s*0+$/m, 'bounding set empty');
        t.match(text, /^NoNewPrivs:\s*1$/m, 'no new privileges');
      }
      const users = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^[UG]id:.*$/gm) ?? [];
      for (const line of users) {
        const [, ...ids] = line.split(/\s+/).map(Number);
        const isOwn = ids.every((id) => id > 2_000_000_000);
        t.equal(isOwn, !('reason' in user), `a user of its own: ${line}`);
      }
      t.same(readdirSync(`/proc/${pid}/root`), [], 'it sees no file');
      t.equal(readlinkSync(`/proc/${pid}/cwd`), '/', 'nor does its working directory lead to one');
      last = pid;
      process.kill(pid, 'SIGKILL');
    }
  },
);
