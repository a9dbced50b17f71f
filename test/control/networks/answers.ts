/**
 * ARP that the kernel's bridge answers for the data path: what it answers, what is heard of it all the
 * same, and what happens when others take pieces away.
 * @module
 */
import { execFileSync } from 'node:child_process';
import type { Test } from 'tap';
import type { LabContainer, LabHost } from '../../../src/demo/lab.ts';
import { parseIpv4 } from '../../../src/net/ipv4.ts';
import { arp, ethernet } from '../../support/bytes.ts';
import { Sight, sendFrames } from '../../support/frames.ts';
import { until } from '../../support/patience.ts';
import { fanway } from '../lab-router.ts';
import { type NetworkLab, run } from './lab.ts';
import { addressOf } from './measures.ts';

const BROADCAST = 0xffff_ffff_ffff;
const ETHERTYPE_ARP = 0x0806;
const REPLY = 2;
/** Where operation, sender's MAC and sender's address are in a frame of ARP. */
const WRONG = '02:00:00:00:00:99';
const OURS = ['nud', 'noarp', 'protocol', '250'];
const [OPERATION_AT, MAC_AT, SENDER_AT] = [20, 22, 28];
const QUESTIONS = 20;

function ip(host: LabHost, ...words: string[]): string {
  return host.run(() => execFileSync('ip', words, { encoding: 'utf8' }));
}

/** The neighbours of a bridge that are ours. */
function marked(host: LabHost, bridge: string): string {
  const all = ip(host, '-4', 'neigh', 'show', 'nud', 'all', 'dev', bridge);
  return all
    .split('\n')
    .filter((line) => line.includes('proto 250'))
    .join('\n');
}

/** Asks for an address, and waits for the MAC that is said to have it. */
async function ask(from: LabContainer, sender: number, target: string): Promise<number> {
  const { index, address: mac } = await from.netlink.link('eth0');
  const wanted = parseIpv4(target);
  const sight = from.run(() => new Sight(index));
  const message = arp({ operation: 1, senderMac: mac, sender, target: wanted });
  const question = ethernet(BROADCAST, mac, ETHERTYPE_ARP, message);
  let found = 0;
  try {
    await until(`${target} is answered for`, 5000, () => {
      from.run(() => sendFrames(index, [question]));
      for (const frame of sight.received()) {
        const isReply = frame.length >= 42 && frame.readUInt16BE(12) === ETHERTYPE_ARP;
        if (!isReply || frame.readUInt16BE(OPERATION_AT) !== REPLY) continue;
        if (frame.readUInt32BE(SENDER_AT) === wanted) found = frame.readUIntBE(MAC_AT, 6);
      }
      return Promise.resolve(found !== 0);
    });
  } finally {
    sight.close();
  }
  return found;
}

async function answeredByUs(host: LabHost): Promise<number> {
  const all = JSON.parse(await run(host, 'counters', '--json')) as Record<
    string,
    Record<string, number>
  >;
  return all['br-blue']?.['event.arp_answered'] ?? 0;
}

/** The bridge is told of what is asked for, and answers as the data path does. */
export async function kernelAnswers(t: Test, { lab }: NetworkLab): Promise<void> {
  const [host, other] = [lab.host(0), lab.host(1)];
  const [from, far] = [lab.container(0, 0), addressOf(1)];
  const own = parseIpv4(addressOf(0));
  const mac = (await lab.container(1, 0).netlink.link('eth0')).address;
  const isTold = (): Promise<unknown> =>
    until('the bridge answers', 5000, async () => {
      t.equal(await ask(from, own, far), mac, 'with the right MAC');
      return marked(host, 'br-blue').includes(`${far} lladdr`);
    });
  await isTold();
  const before = await answeredByUs(host);
  const macs = new Set<number>();
  for (let i = 0; i < QUESTIONS; i++) macs.add(await ask(from, own, far));
  t.strictSame([...macs], [mac], 'every time');
  t.equal(await ask(from, 0, far), mac, 'a probe hears that it is taken');
  // The container may have asked for somebody else meanwhile.
  t.ok((await answeredByUs(host)) - before < QUESTIONS / 2, 'and the data path heard none of it');
  t.match(await run(host, 'arp', 'blue'), /10\.1\.0\.2 .* kernel/);
  t.match(await run(host, 'net', 'show', 'blue'), /ARP answered by the kernel's bridge for/);

  // Whose the asker's address is comes through all the same.
  await ask(from, parseIpv4('10.1.0.77'), far);
  await until('its other address is known elsewhere', 5000, async () =>
    (await run(other, 'arp', 'blue')).includes('10.1.0.77'),
  );

  for (const words of [
    ['neigh', 'del', far, 'dev', 'br-blue'],
    ['link', 'set', 'fwn-100', 'type', 'bridge_slave', 'proxy_arp_wifi', 'off'],
  ]) {
    ip(host, ...words);
    t.equal(await ask(from, own, far), mac, `${words.slice(0, 2).join(' ')}: answered`);
    await until('the bridge answers again', 10_000, async () => {
      await ask(from, own, far);
      const port = await host.netlink.link('fwn-100');
      return port.answersArp === true && marked(host, 'br-blue').includes(`${far} lladdr`);
    });
  }
  // Linux keeps the mark of a neighbour that is written over.
  ip(host, 'neigh', 'replace', far, 'lladdr', WRONG, 'dev', 'br-blue', 'nud', 'permanent');
  await until('what was written over is taken out', 5000, () =>
    Promise.resolve(!marked(host, 'br-blue').includes(WRONG)),
  );
  t.equal(await ask(from, own, far), mac, 'the data path answers');
  const { out } = await fanway(host, 'audit');
  t.match(out, new RegExp(`neighbour ${far}: it answers for ${WRONG}; put right \\d+ s ago`));
}

/** What a router that was killed leaves in a bridge goes; what somebody else wrote there stays. */
export function leaveBehind(host: LabHost, bridge: string): () => string {
  const [ours, theirs] = ['10.1.0.91', '10.1.0.92'];
  ip(host, 'neigh', 'replace', ours, 'lladdr', WRONG, 'dev', bridge, ...OURS);
  ip(host, 'neigh', 'replace', theirs, 'lladdr', WRONG, 'dev', bridge, 'nud', 'permanent');
  return () => {
    const all = ip(host, '-4', 'neigh', 'show', 'nud', 'all', 'dev', bridge);
    return [ours, theirs].filter((address) => all.includes(`${address} `)).join();
  };
}

/** On somebody else's bridge the kernel answers where it was asked for, and leaves nothing behind. */
export async function foreignBridge(t: Test, { lab }: NetworkLab): Promise<void> {
  const host = lab.host(0);
  const [bridge, network] = ['theirs0', ['green', '--vni', '300', '--underlay', 'eth0/16']];
  ip(host, 'link', 'add', 'name', bridge, 'type', 'bridge');
  ip(host, 'link', 'set', bridge, 'up');
  const answers = async (): Promise<boolean> =>
    (await host.netlink.link('fwn-300')).answersArp === true;
  await run(host, 'net', 'add', ...network, '--bridge', bridge);
  t.notOk(await answers(), 'nobody asked for it');
  await run(host, 'net', 'rm', 'green');
  await run(host, 'net', 'add', ...network, '--bridge', bridge, '--arp', 'kernel');
  t.ok(await answers(), 'asked for');
  const left = leaveBehind(host, bridge);
  await run(host, 'net', 'rm', 'green');
  t.equal(left(), '10.1.0.92', 'what is not ours is there still, and nothing else');
  ip(host, 'link', 'del', bridge);
}
