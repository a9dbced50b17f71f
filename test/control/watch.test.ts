import t, { type Test } from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { fanway, picture, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();
/** What somebody else broke is whole again within this. */
const REPAIR_MS = 5000;

/** Resolves when the host looks like `wanted` again. */
async function becomes(t: Test, host: LabHost, wanted: string[], what: string): Promise<void> {
  let last: string[] = [];
  try {
    await until(what, REPAIR_MS, async () => {
      last = await picture(host);
      return JSON.stringify(last) === JSON.stringify(wanted);
    });
    t.pass(what);
  } catch {
    t.same(last, wanted, what);
  }
}

t.test('devices that others delete, stop or rename are put right', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const { netlink } = host;
  for (const encap of skipLong === false ? ['vxlan', 'ipip'] : ['vxlan']) {
    await fanway(host, 'up', '250', 'eth0/16', '--encap', encap);
    const whole = await picture(host);
    const link = (await statusOf(host)).links[0];
    if (link === undefined) throw new Error('no link');
    const { name, device } = link;
    const broken: [what: string, how: () => Promise<unknown>][] = [
      ['the device is deleted', () => netlink.deleteLink(device)],
      ['the bridge is deleted', () => netlink.deleteLink(name)],
      ['the device is downed', () => netlink.setLink(device, { up: false })],
      ['the bridge is downed', () => netlink.setLink(name, { up: false })],
      ['the device gets another MTU', () => netlink.setLink(device, { mtu: 1200 })],
      [
        'the device is renamed',
        async () => {
          await netlink.setLink(device, { up: false });
          await netlink.setLink(device, { name: 'stolen' });
        },
      ],
      [
        'the bridge is renamed',
        async () => {
          await netlink.setLink(name, { up: false });
          await netlink.setLink(name, { name: 'stolen' });
        },
      ],
      [
        'the address is removed',
        async () => {
          for (const { address, length } of await netlink.addresses(name)) {
            await netlink.deleteAddress(name, address, length);
          }
        },
      ],
    ];
    for (const [what, how] of broken) {
      await how();
      await becomes(t, host, whole, `${encap}: ${what}`);
    }
    t.ok((await statusOf(host)).links[0]?.repairs, 'and status says that it happened');
    t.equal((await fanway(host, 'down', '-e')).code, 0);
  }
});

t.test('another underlay address: the old slice goes, the new one comes', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const { netlink } = host;
  const bare = await picture(host);
  await fanway(host, 'up', '250', 'eth0/16');
  const first = await picture(host);
  const moved = host.address + 5;
  await netlink.addAddress('eth0', moved, host.length);
  await sleep(500);
  t.equal((await statusOf(host)).links[0]?.state, 'up');
  t.ok(
    (await picture(host)).some((line) => line.startsWith('link fan-250')),
    'a second address changes nothing as long as the first is there',
  );
  await netlink.deleteAddress('eth0', host.address, host.length);
  // The kernel drops secondary addresses with their primary one.
  await netlink.addAddress('eth0', moved, host.length).catch(() => undefined);
  const link = await until('the new slice', REPAIR_MS, async () => {
    const link = (await statusOf(host)).links[0];
    return link?.state === 'up' && link.gateway !== '250.0.28.1' && link;
  });
  t.equal(link.gateway, '250.0.33.1');
  const bridges = (await netlink.links()).filter(({ kind }) => kind === 'bridge');
  t.same(
    bridges.map(({ name }) => name),
    ['fan-250-0-33'],
    'never both',
  );

  await netlink.deleteAddress('eth0', moved, host.length);
  const stopped = await until('it stops', REPAIR_MS, async () => {
    const link = (await statusOf(host)).links[0];
    return link?.state === 'stopped' && link;
  });
  t.match(stopped.reason, /eth0 has no global IPv4 address/);
  t.same(
    (await picture(host)).filter((line) => /fan-|fw-/.test(line)),
    [],
    'nothing of it is left meanwhile',
  );
  await netlink.addAddress('eth0', host.address, host.length);
  await becomes(t, host, first, 'the first address and the first slice are back');
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.same(await picture(host), bare);
});

t.test('another underlay MTU changes every MTU inside', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  await fanway(host, 'up', '250', 'eth0/16');
  await fanway(host, 'up', '251', 'eth0/16', '--encap', 'ipip', '--mtu', '1300');
  for (const [mtu, inner, fixed] of [
    [1400, 1350, 1300],
    [1280, 1230, 1260],
    [1500, 1450, 1300],
  ] as const) {
    await host.netlink.setLink('eth0', { mtu });
    await until(`MTU ${inner}`, REPAIR_MS, async () => {
      const links = await host.netlink.links();
      const of = (prefix: string): number[] =>
        links.filter(({ name }) => name.startsWith(prefix)).map((link) => link.mtu);
      // A TAP takes every frame, so that what is too large is answered and not dropped.
      return of('fan-').join() === `${inner},${fixed}` && of('fw-').join() === `65521,${fixed}`;
    });
    t.pass(`underlay ${mtu}: ${inner}, and ${fixed} where 1300 was asked for`);
  }
  await host.netlink.setLink('eth0', { mtu: 600 });
  await until('it stops', REPAIR_MS, async () => {
    const [first] = (await statusOf(host)).links;
    return first?.state === 'stopped' && /MTU 600/.test(first.reason);
  });
  t.pass('an underlay that leaves too little stops the link with the reason');
});

t.test('the underlay link goes down and up 20 times', { skip: skipLong || skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  await fanway(host, 'up', '250', 'eth0/16');
  const whole = await picture(host);
  for (let round = 0; round < 20; round++) {
    await host.netlink.setLink('eth0', { up: false });
    await sleep(50);
    await host.netlink.setLink('eth0', { up: true });
    await sleep(50);
  }
  await becomes(t, host, whole, 'the same as before');
  const status = await statusOf(host);
  t.equal(status.links[0]?.state, 'up');
  t.ok(status.processes.every((process) => process.alive && process.restarts === 0));
});
