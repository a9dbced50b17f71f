/**
 * A network that is cut in two while a container moves, heals, and loses a data process under traffic:
 * one of two hosts with the same MAC gives it up, and nobody else suffers.
 */
import t from 'tap';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { skipLong } from '../../support/long.ts';
import { promised, sleep, until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { statusOf } from '../lab-router.ts';
import { type NetworkLab, networkOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const BRIDGE = 'br-blue';
const MOVER = { mac: '02:00:00:00:00:09', address: 0x0a01_0009, text: '10.1.0.9' };
const addressOf = (host: number): number => 0x0a01_0010 + host;
const textOf = (host: number): string => formatIpv4(addressOf(host));
const HEAL_MS = 10_000;

async function whereIs({ lab }: NetworkLab, host: number): Promise<string> {
  const macs = JSON.parse(await run(lab.host(host), 'mac', 'show', 'blue', '--json')) as {
    mac: string;
    host: string;
  }[];
  const found = macs.find(({ mac }) => mac === MOVER.mac);
  return found === undefined ? 'nowhere' : found.host;
}

async function lease({ lab }: NetworkLab, host: number): Promise<string> {
  const text = await run(lab.host(host), 'ip', 'lease', 'blue', '--name', 'late');
  return /10\.\d+\.\d+\.\d+/.exec(text)?.[0] ?? text;
}

t.test(
  'a move while the network is cut in two',
  { skip: skipWithoutPing || skipLong },
  async (t) => {
    const at = await startHosts(t, { hosts: 3, containersPerHost: 2, ipv6: true });
    const { lab, hosts } = at;
    await Promise.all(
      hosts.map(async (host, i) => {
        const words = ['--underlay', 'eth0/16', '--ipam', '10.0.0.0/8'];
        await run(host, 'net', 'add', 'blue', '--vni', '100', ...words);
        await plug(lab.container(i, 1), BRIDGE, `02:00:00:00:00:1${i}`, addressOf(i));
      }),
    );
    const [old, asker, young] = [lab.container(0, 0), lab.container(1, 1), lab.container(2, 0)];
    // It stays where it is, and only answers: a word of its own would be a move back.
    old.setIpv6(false);
    await plug(old, BRIDGE, MOVER.mac, MOVER.address);
    for (const to of [MOVER.text, textOf(0), textOf(2)]) {
      await until(`${to} answers`, 5000, async () => (await ping(asker, to)) === 1);
    }
    const others = ping(lab.container(1, 1), textOf(2), 100);
    await lab.setCable(0, false);
    await plug(young, BRIDGE, MOVER.mac, MOVER.address);
    void ping(young, textOf(1));
    await until(
      'it is reached where it went',
      5000,
      async () => (await ping(asker, MOVER.text)) === 1,
    );
    const there = formatIpv4(lab.host(2).address);
    t.equal(await whereIs(at, 1), there);
    t.equal(await whereIs(at, 0), '', 'the host that was cut off believes that it has it');
    // Addresses that are handed out on both sides while neither hears of the other.
    const leases = await Promise.all([0, 2].map((host) => lease(at, host)));
    t.equal(new Set(leases).size, 2, `two addresses: ${leases.join(' and ')}`);
    const startMs = performance.now();
    await lab.setCable(0, true);
    await until('the one that was cut off gives it up', HEAL_MS, async () => {
      return (await whereIs(at, 0)) === there;
    });
    promised(t, 'healed', performance.now() - startMs, HEAL_MS);
    await sleep(1000);
    for (const host of [0, 1]) t.equal(await whereIs(at, host), there, 'and it stays so');
    t.equal(await whereIs(at, 2), '');
    await until('packets from the healed side go there', 5000, async () => {
      return (await ping(lab.container(0, 1), MOVER.text)) === 1;
    });
    const lost = 100 - (await others);
    t.ok(lost <= 5, `others lost ${lost} of 100 packets meanwhile`);

    for (const host of [0, 2]) {
      const { reason } = await networkOf(lab.host(host), 'blue');
      t.notMatch(reason, /hands out|address/, 'nobody disputes an address that was handed out');
    }
    const { pid } = await statusOf(lab.host(2));
    killIfThere(pid);
    await until('control is there again', 10_000, async () => {
      return (await statusOf(lab.host(2)).catch(() => ({ pid }))).pid !== pid;
    });
    t.equal(await lease(at, 2), leases[1], 'a lease outlives control');
    const { processes } = await statusOf(lab.host(2));
    const stream = ping(asker, MOVER.text, 20);
    for (const { pid } of processes) killIfThere(pid);
    await until('another data process is there', 10_000, async () => {
      const { processes: now } = await statusOf(lab.host(2));
      const pids = now.map(({ pid }) => pid);
      return pids.length > 0 && processes.every(({ pid }) => !pids.includes(pid));
    });
    const gone = 20 - (await stream);
    t.comment(`${gone} of 20 packets were lost while the data process was killed`);
    t.ok(gone < 20, 'a data process that is killed comes back');
    t.equal(await ping(asker, MOVER.text, 3), 3, 'and knows everybody');
  },
);
