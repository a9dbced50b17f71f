import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { missingOf } from '../support/tools.ts';
import { runOn } from './dockerd.ts';
import { makeSystem, removeCgroups } from './lxd.ts';

t.setTimeout(1_200_000);

const UP = ['up', '250.0.0.0/8', 'eth0/16', 'dhcp'];
const PROGRAMS = ['lxc-start', 'systemd-nspawn', 'busybox', 'dnsmasq', 'unshare'];
const missing = missingOf(PROGRAMS);
const skip =
  skipWithoutTun() ||
  (missing.length > 0 && `no ${missing.join(', ')} (lxc systemd-container busybox-static)`) ||
  (process.geteuid?.() !== 0 && 'LXC needs root') ||
  skipLong;
/** Everything in namespaces of its own, which end with it; version 2 of cgroups alone. */
const SCENE = `
mount --make-rprivate / && mount -t tmpfs tmpfs /run || exit 1
mount -t sysfs sysfs /sys && mount -t cgroup2 none /sys/fs/cgroup || exit 1
`;
/** Until DHCP gave an address (busybox asks every few seconds), then the page of the other host. */
const ASK = `
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  /bin/busybox ip -4 addr show $1 | /bin/busybox grep -q inet && break
  /bin/busybox sleep 1
done
/bin/busybox ip -4 addr show $1
/bin/busybox ping -c 3 250.1.27.1`;
const UNSHARE = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c'];
const LXC = `${SCENE}
lxc-start --lxcpath "$1" --name l0 --logfile "$1/log" || { cat "$1/log"; exit 1; }
lxc-attach --lxcpath "$1" --name l0 -- /bin/busybox sh -c '${ASK}' sh eth0`;
const NSPAWN = `${SCENE}
cd "$1" && systemd-nspawn --settings=trusted --register=no --keep-unit --quiet --directory n0 \\
  /bin/busybox sh -c '/bin/busybox udhcpc -n -q -i host0 -s /etc/lease; ${ASK}' sh host0`;

t.test(
  'containers of LXC and of systemd-nspawn, by the lines that are printed',
  { skip },
  async (t) => {
    const lab = await Lab.create({ containersPerHost: 0, ipv6: true });
    t.teardown(() => lab.close());
    const [host] = lab.hosts;
    if (host === undefined) throw new Error('two hosts were asked for');
    for (const each of lab.hosts) await runFanway(each, UP);

    const folder = join(host.runDirectory, 'machines');
    makeSystem(join(folder, 'l0/rootfs'), 'l0');
    const lines = [
      `lxc.rootfs.path = dir:${folder}/l0/rootfs`,
      ...[
        'lxc.uts.name = l0',
        'lxc.mount.auto = proc:mixed sys:ro',
        'lxc.apparmor.profile = unconfined',
      ],
    ];
    const { out } = await fanway(host, 'lxc', 'config');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'l0/config'), `${lines.join('\n')}\n${out}`);
    t.teardown(() => removeCgroups('lxc.payload.l0', 'lxc.monitor.l0', 'lxc.pivot'));
    const lxc = await runOn(host, 'unshare', [...UNSHARE, LXC, 'sh', folder]);
    t.match(lxc, { code: 0, out: /inet 250\.0\.28\.\d+\/8/ }, lxc.err);
    t.match(lxc.out, / 0% packet loss/, 'LXC: to the other host');

    makeSystem(join(folder, 'n0'), 'n0', 'host0');
    writeFileSync(join(folder, 'n0.nspawn'), (await fanway(host, 'nspawn', 'config')).out);
    const nspawn = await runOn(host, 'unshare', [...UNSHARE, NSPAWN, 'sh', folder]);
    t.match(nspawn, { code: 0, out: /inet 250\.0\.28\.\d+\/8/ }, nspawn.err);
    t.match(nspawn.out, / 0% packet loss/, 'systemd-nspawn: to the other host');
  },
);
