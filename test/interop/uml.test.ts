/**
 * Routed fans against a stock kernel's tunnel devices: those of a User-Mode Linux guest on one
 * side, fanway on the other. What the guest uses to talk is busybox, not ours.
 */
import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { sliceOf } from '../../src/net/fan.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix } from '../../src/net/prefix.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { FAN, FanHost } from './fan-host.ts';
import { ECHO_COUNT, ECHO_SIZES_BYTES, echo, GUEST, GUEST_OVERLAY, web } from './guest-talk.ts';
import { skipWithoutUml, UmlGuest } from './uml-guest.ts';
import { sendDatagrams } from './web.ts';

const skip = skipWithoutTun() || skipWithoutUml();

const DATA_PORT = 9000;
/** Little enough for the guest's receive buffer, should nobody read for a while. */
const DATA_BYTES = 100_000;

/** Hashes datagrams until so many bytes arrived. */
const COLLECT = `
  const [address, port, bytes] = process.argv.slice(1);
  const hash = require("crypto").createHash("sha256");
  const socket = require("dgram").createSocket("udp4");
  let left = Number(bytes);
  socket.on("message", (message) => {
    hash.update(message);
    left -= message.length;
    if (left <= 0) socket.close(() => console.log(hash.digest("hex") + " done"));
  });
  socket.bind(Number(port), address, () => console.log("ready"));
`;

/** `Icmp: InEchos` of the guest: echo requests that its kernel took in. */
async function echoesTaken(guest: UmlGuest): Promise<number> {
  const [names = '', values = ''] = (await guest.run('grep ^Icmp: /proc/net/snmp')).split('\n');
  return Number(values.split(' ')[names.split(' ').indexOf('InEchos')]);
}

t.test('stock tunnel devices', { skip, timeout: 600_000 }, async (t) => {
  const lab = await Lab.create({ hosts: 1, underlayOffloads: false });
  t.teardown(() => lab.close());
  const guest = await UmlGuest.boot(lab, GUEST, FAN.underlay.length);
  t.teardown(() => guest.close());
  t.comment(`the guest runs Linux ${(await guest.run('uname -r')).trim()}`);
  const host = lab.host(0);
  const slice = formatPrefix(sliceOf(FAN, host.address));
  const device = await guest.run(`set -e
    ip link set tunl0 up
    ip addr add ${GUEST_OVERLAY}/32 dev tunl0
    ip -d link show tunl0`);
  t.match(device, 'ipip', 'the tunnel is the kernel’s own');

  await t.test('ipip, both ways', { timeout: 400_000 }, async (t) => {
    const fan = await FanHost.up(lab, 0, ['--encap', 'ipip']);
    const peer = formatIpv4(host.address);
    await guest.run(`ip route add ${slice} via ${peer} dev tunl0 onlink src ${GUEST_OVERLAY}`);
    await echo(t, fan, guest);
    await web(t, fan, guest);
    await fan.balance(t);
    await guest.run(`ip route del ${slice}`);
    await fan.down();
  });

  // The kernel decapsulates FOU by itself; to send it, a tunnel device needs an option that
  // Debian's guest kernel is built without (NET_FOU_IP_TUNNELS). qemu.test.ts has the whole of it.
  await t.test('fou, towards the kernel', { timeout: 400_000 }, async (t) => {
    const fan = await FanHost.up(lab, 0, ['--encap', 'fou']);
    await guest.run('ip fou add port 5555 ipproto 4');
    const before = await echoesTaken(guest);
    for (const size of ECHO_SIZES_BYTES) {
      const options = { count: ECHO_COUNT, size, timeout: 50 };
      await runEcho(fan.container, [GUEST_OVERLAY], options);
    }
    const asked = ECHO_SIZES_BYTES.length * ECHO_COUNT;
    const taken = (await echoesTaken(guest)) - before;
    // Control probes the path to a host that answers nothing by gossip: echo requests too, by the side.
    t.ok(taken >= asked, `echo requests came out of the tunnel: ${taken}, ${asked} asked`);

    // Node is on the host's file system, so the guest has it too.
    await guest.run(`${process.execPath} -e "$(cat <<'END'\n${COLLECT}\nEND\n)" \\
      ${GUEST_OVERLAY} ${DATA_PORT} ${DATA_BYTES} >/tmp/sum 2>&1 &
      until grep -q ready /tmp/sum; do busybox usleep 20000; done`);
    const sent = await sendDatagrams(fan.container, GUEST_OVERLAY, DATA_PORT, DATA_BYTES);
    const sum = await guest.run(`n=0
      until grep -q done /tmp/sum || [ $n = 200 ]; do busybox usleep 50000; n=$((n + 1)); done
      cat /tmp/sum`);
    t.match(sum, `${sent} done`, 'equal SHA-256 of what was sent and what came out');
    const counters = await fan.books(t);
    t.equal(counters['ingress.received'], 0, 'nothing came back');
    await guest.run('ip fou del port 5555');
    await fan.down();
  });
});
