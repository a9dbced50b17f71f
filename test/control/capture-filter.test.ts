import t from 'tap';
import { parseFilter } from '../../src/control/capture/filter.ts';
import { innerSight, outerEnd, outerSight, trainOf } from '../../src/control/capture/sight.ts';

/** An IPv4 packet of 28 bytes: TCP's or UDP's ports, or whatever stands in their place. */
function ipv4(protocol: number, from: string, to: string, ports: [number, number]): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.set([0x45, 0, 0, 28], 0);
  bytes[9] = protocol;
  bytes.set(from.split('.').map(Number), 12);
  bytes.set(to.split('.').map(Number), 16);
  bytes.writeUInt16BE(ports[0], 20);
  bytes.writeUInt16BE(ports[1], 22);
  return bytes;
}

function ethernet(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt16BE(type, 12);
  return Buffer.concat([head, payload]);
}

const INNER = ethernet(0x0800, ipv4(6, '250.0.28.10', '250.1.27.10', [40_000, 443]));
const ARP = ethernet(0x0806, Buffer.alloc(28));
const SIX = (() => {
  const bytes = Buffer.alloc(48);
  bytes.set([0x60, 0, 0, 0, 0, 8, 17, 64], 0);
  bytes.set([0xfd, 0], 8);
  bytes[39] = 7;
  bytes.writeUInt16BE(53, 42);
  return ethernet(0x86dd, bytes);
})();

/** A train of VXLAN packets of network 77 between two hosts. */
function tunnel(...frames: Buffer[]): Buffer {
  const shim = Buffer.from([8, 0, 0, 0, 0, 0, 77, 0]);
  const head = ipv4(17, '172.30.0.28', '172.30.1.27', [50_000, 4789]);
  return ethernet(0x0800, Buffer.concat([head, ...frames.flatMap((frame) => [shim, frame])]));
}

const VXLAN = { encap: 'vxlan', port: 4789 } as const;

t.test('filters say what they say, inside', async (t) => {
  const takes = (text: string, frame = INNER) =>
    parseFilter(text, 'inner')(innerSight(frame, true));
  const cases: [text: string, wanted: boolean, frame?: Buffer][] = [
    ['host 250.1.27.10', true],
    ['src host 250.1.27.10', false],
    ['dst net 250.1.0.0/16', true],
    ['net 250.2.0.0/15', false],
    ['tcp port 443', true],
    ['udp port 443', false],
    ['src port 443', false],
    ['port 400-500', true],
    ['proto 6', true],
    ['not arp and not icmp', true],
    ['icmp or (tcp and dst port 443)', true],
    ['icmp or tcp and dst port 80', false],
    ['inner host 250.0.28.10', true],
    ['arp', true, ARP],
    ['arp', false],
    ['ip6 and udp dst port 53', true, SIX],
    ['net fd00::/8', true, SIX],
    ['dst host ::7', true, SIX],
    ['host 250.1.27.10', false, SIX],
  ];
  for (const [text, wanted, frame] of cases) {
    t.equal(takes(text, frame), wanted, text);
  }
  // What is cut short, or is nothing at all, is no reason to fall over.
  for (let length = 0; length < INNER.length; length++) {
    for (const text of ['host 250.1.27.10', 'tcp port 443', 'arp', 'ip6']) {
      t.type(takes(text, INNER.subarray(0, length)), 'boolean');
    }
  }
});

t.test('filters say what they say, outside', async (t) => {
  const takes = (text: string, frame = tunnel(INNER)) =>
    parseFilter(text, 'outer')(outerSight(frame, true, VXLAN));
  t.equal(takes('vni 77'), true);
  t.equal(takes('vni 78'), false);
  t.equal(takes('outer dst host 172.30.1.27 and host 250.1.27.10 and tcp'), true);
  t.equal(takes('host 172.30.1.27'), false, 'without outer it is about the inside');
  t.equal(takes('outer udp port 4789'), true);
  t.equal(takes('vni 77', INNER), false, 'no tunnel of ours');
  for (let length = 0; length < 80; length++) {
    t.type(takes('vni 77 or outer host 1.2.3.4', tunnel(INNER).subarray(0, length)), 'boolean');
  }
  const train = outerSight(tunnel(INNER, INNER, ARP), true, VXLAN);
  t.equal([...trainOf(train, VXLAN)].length, 3);
  t.equal(outerEnd(train, 'source'), 0xac1e001c);
});

t.test('what is no filter is refused, with what is', async (t) => {
  const wrong: [text: string, message: RegExp][] = [
    ['', /it is empty/],
    ['hst 250.1.27.10', /"hst" is no test; did you mean host/],
    ['host', /an address is missing/],
    ['host 250.1.27', /cannot be read/],
    ['net 250.0.0.0/33', /no such prefix length/],
    ['port 70000', /70000 is no port/],
    ['port 9-5', /no PORT-PORT/],
    ['proto 256', /a protocol is a number up to 255/],
    ['(tcp', /a \) is missing/],
    ['tcp )', /one word too many/],
    ['not '.repeat(30), /nested more than/],
    ['tcp '.repeat(100), /more than 64 words/],
    ['vni 5', /add --outer/],
    ['outer host 1.2.3.4', /add --outer/],
  ];
  for (const [text, message] of wrong) {
    t.throws(() => parseFilter(text, 'inner'), { message, exitCode: 2 }, text);
  }
});
