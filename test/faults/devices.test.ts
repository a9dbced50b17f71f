import t, { type Test } from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import type { Netlink } from '../../src/sys/netlink/netlink.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
import { promised, skipExact, sleep, until } from '../support/patience.ts';
import {
  attach,
  BRIDGE,
  checkBalance,
  countersOf,
  cpuShares,
  dataProcess,
  type Encap,
  growth,
  nowMs,
  type Rig,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
const BACK_MS = 5000;
/** Share of one processor that a process may use while it has nothing but a broken device. */
const CPU_MAX = 0.2;
const CPU_WINDOW_MS = 2000;

type Fault = {
  what: string;
  /** Only for links of this kind. */
  encap?: Encap;
  /** Measures processor time as well, which takes two seconds. */
  cpu?: boolean;
  /** The data process has to be another one afterwards. */
  replaced?: boolean;
  make(netlink: Netlink, device: string): Promise<unknown>;
};

const faults: Fault[] = [
  {
    what: 'device deleted',
    cpu: true,
    replaced: true,
    make: (netlink, device) => netlink.deleteLink(device),
  },
  {
    what: 'device down',
    cpu: true,
    make: (netlink, device) => netlink.setLink(device, { up: false }),
  },
  {
    what: 'device renamed',
    make: async (netlink, device) => {
      await netlink.setLink(device, { up: false });
      await netlink.setLink(device, { name: 'stolen' });
    },
  },
  { what: 'device MTU 600', make: (netlink, device) => netlink.setLink(device, { mtu: 600 }) },
  {
    what: 'device taken out of the bridge',
    encap: 'vxlan',
    make: (netlink, device) => netlink.setLink(device, { master: 0 }),
  },
  { what: 'bridge down', make: (netlink) => netlink.setLink(BRIDGE, { up: false }) },
  {
    what: 'bridge without its address',
    make: async (netlink) => {
      for (const { address, length } of await netlink.addresses(BRIDGE)) {
        await netlink.deleteAddress(BRIDGE, address, length);
      }
    },
  },
  {
    what: 'route to the overlay deleted',
    encap: 'ipip',
    make: (netlink, device) =>
      netlink.deleteRoute({ dst: { address: 0xfa00_0000, length: 8 }, dev: device }),
  },
  { what: 'bridge deleted', cpu: true, make: (netlink) => netlink.deleteLink(BRIDGE) },
];

/** Makes one fault on host a and waits for traffic; returns the time that took. */
async function suffer(t: Test, { a, pulse }: Rig, encap: Encap, fault: Fault): Promise<number> {
  const before = await statusOf(a);
  // None where the kernel forwards.
  const [data] = before.processes;
  const device = before.links[0]?.device ?? '';
  const madeMs = nowMs();
  await fault.make(a.netlink, device);
  const shares =
    fault.cpu === true
      ? cpuShares([data?.pid ?? before.pid, before.pid], CPU_WINDOW_MS)
      : undefined;
  if (fault.what === 'bridge deleted') await reattach(a);
  // What was under way when the fault was made tells nothing.
  const back = 50 + (await pulse.back(madeMs + 50, 2 * BACK_MS));
  const [dataShare = 0, controlShare = 0] = (await shares) ?? [];
  const text = `${encap}, ${fault.what}: back after ${Math.round(back)} ms`;
  promised(t, text, back, BACK_MS);
  if (shares !== undefined) {
    const percent = `data ${Math.round(dataShare * 100)} %, control ${Math.round(controlShare * 100)} %`;
    t.comment(`${text}; ${percent} of a processor`);
    // A process that was replaced meanwhile has no share any more.
    t.notOk(dataShare > CPU_MAX, `${text}: the data process does not spin`);
    t.ok(controlShare < CPU_MAX, `${text}: control does not spin`);
  } else t.comment(text);
  // Not every fault stops the traffic: the repair itself is waited for.
  const status = await until(`repaired: ${fault.what}`, BACK_MS, async () => {
    const status = await statusOf(a);
    return (status.links[0]?.repairs ?? 0) > (before.links[0]?.repairs ?? 0) && status;
  });
  t.equal(status.pid, before.pid, `${text}: the same control`);
  t.equal(status.links[0]?.state, 'up');
  if (data === undefined) return back;
  t.equal(status.processes[0]?.restarts, 0, 'nothing died of it');
  if (fault.replaced !== true) t.equal(status.processes[0]?.pid, data.pid, 'the same data process');
  return back;
}

/** The bridge's ports went with it: as soon as it is there, the container is plugged in again. */
async function reattach(host: LabHost): Promise<void> {
  // Not there yet, or still without its address.
  await until('the bridge is there', BACK_MS, () =>
    attach(host).then(
      () => true,
      () => false,
    ),
  );
}

const [userspace, kernel] = DATAPATHS;
t.jobs = 2;
for (const [encap, datapath, skipThis] of [
  ['vxlan', userspace, skip],
  ['ipip', userspace, skip || skipLong],
  ['vxlan', kernel, skip || skipLong],
] as const) {
  const who = `${encap}, forwarded by ${datapath?.name}`;
  const title = `${who}: a device or bridge that others change is put right`;
  t.test(title, { skip: skipThis, buffered: true }, async (t) => {
    const rig = await startRig(t, { encap, up: [...(datapath?.flags ?? [])] });
    const times: number[] = [];
    for (const fault of faults) {
      if (fault.encap !== undefined && fault.encap !== encap) continue;
      times.push(await suffer(t, rig, encap, fault));
      await sleep(300);
    }
    t.comment(`${who}: worst of ${times.length}: ${Math.round(Math.max(...times))} ms`);
    t.equal((await statusOf(rig.a)).links[0]?.datapath, datapath?.name);
    rig.pulse.stop();
    await sleep(200);
    for (const host of [rig.a, rig.b]) await checkBalance(t, host);
  });
}

t.test(
  'a broken device that nobody mends makes no busy loop',
  { skip: skipExact || skip },
  async (t) => {
    const { a, b, from, to, pulse } = await startRig(t);
    const { pid, links } = await statusOf(a);
    const device = links[0]?.device ?? '';
    for (const [what, counter, make] of [
      ['down', 'ingress.drop.device_down', () => a.netlink.setLink(device, { up: false })],
      ['deleted', 'ingress.drop.device_error', () => a.netlink.deleteLink(device)],
    ] as const) {
      const before = await countersOf(a);
      const data = await dataProcess(a);
      const flow = await startFlow(to, from, { rate: 500, seconds: 4 });
      // Control cannot mend it while it is stopped; containers and peers go on sending.
      process.kill(pid, 'SIGSTOP');
      let resumedMs = 0;
      let share = 1;
      try {
        await make();
        [share = 1] = await cpuShares([data.pid], CPU_WINDOW_MS);
      } finally {
        resumedMs = nowMs();
        process.kill(pid, 'SIGCONT');
      }
      const back = await pulse.back(resumedMs + 1, BACK_MS);
      // A device made anew goes on counting where the one before was.
      const drops = growth(before, await countersOf(a), /drop|error/);
      const percent = Math.round(share * 100);
      t.comment(`${what}: ${percent} % of a processor, back ${Math.round(back)} ms after`);
      t.comment(`${what}: ${JSON.stringify(drops)}`);
      t.ok(share < CPU_MAX, `${what}: ${percent} %`);
      t.ok((drops[counter] ?? 0) > 0, `${what}: counted as ${counter}`);
      await flow.finish();
    }
    pulse.stop();
    await sleep(200);
    for (const host of [a, b]) await checkBalance(t, host);
  },
);
