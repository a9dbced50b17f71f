/** Routed fans against an endpoint that speaks IPIP and FOU by plain sockets. Needs no module. */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { tunnelPacket } from '../support/guest.ts';
import { until } from '../support/patience.ts';
import { Wire } from '../support/wire.ts';
import { Endpoint } from './endpoint.ts';
import { FanHost, workloadOf } from './fan-host.ts';

const skip = skipWithoutTun();

const UNDERLAY_MTU = 1500;
const ECHO_COUNT = 5;
const ECHO_REQUEST = 8;
const ANSWER_MS_MAX = 3000;
/** Fits; just fits the larger overhead (1472 − 28); goes in three inner fragments. */
const SIZES_BYTES = [56, 1444, 4000];
const PIECES = [1, 1, 3];
const IDENTIFIER = 0x4242;
/** Don't fragment, in the outer header's flags word. */
const DF = 0x4000;

type Scene = { lab: Lab; fan: FanHost; endpoint: Endpoint; encap: 'ipip' | 'fou'; port: number };

/** The container asks; every answer was made by hand. */
async function containerAsks(t: Test, { lab, fan, endpoint, encap, port }: Scene): Promise<void> {
  const far = lab.host(1);
  const wire = Wire.open(far, 'eth0');
  try {
    for (const [index, size] of SIZES_BYTES.entries()) {
      endpoint.answered.length = 0;
      const address = formatIpv4(workloadOf(far.address));
      const { targets } = await runEcho(fan.container, [address], { count: ECHO_COUNT, size });
      t.match(targets, [{ sent: ECHO_COUNT, received: ECHO_COUNT }], `asked with ${size} bytes`);
      const answered = endpoint.answered.map(({ pieces, ttl }) => ({ pieces, ttl }));
      // Routed once on its way into the tunnel, in as many pieces as the MTU asks for.
      const expected = { pieces: PIECES[index], ttl: 63 };
      t.strictSame(answered, new Array(ECHO_COUNT).fill(expected), 'TTL and inner fragments');
    }
    const tunnels = wire.arrived().flatMap((frame) => tunnelPacket(frame, encap, port) ?? []);
    t.ok(tunnels.length >= ECHO_COUNT * 5, `${tunnels.length} outer packets`);
    const headers = new Set(
      tunnels.map(({ source, destination, ttl, tos, fragment }) =>
        [formatIpv4(source), formatIpv4(destination), ttl, tos, fragment].join(' '),
      ),
    );
    const [from, to] = [fan.host.address, far.address].map(formatIpv4);
    t.strictSame([...headers], [`${from} ${to} 64 0 ${DF}`], 'TTL 64, DF, from end to end');
    const longest = Math.max(...tunnels.map(({ bytes }) => bytes.length));
    t.ok(longest <= UNDERLAY_MTU, `no outer packet is larger than the MTU: ${longest}`);
  } finally {
    wire.close();
  }
}

/** The endpoint asks; the container's kernel answers. */
async function endpointAsks(t: Test, { lab, fan, endpoint }: Scene): Promise<void> {
  const ends = {
    source: workloadOf(lab.host(1).address),
    destination: fan.container.address,
  };
  for (const [index, size] of SIZES_BYTES.entries()) {
    const sent = Array.from({ length: ECHO_COUNT }, () => randomBytes(size));
    endpoint.replies.length = 0;
    for (const [sequence, data] of sent.entries()) {
      const word = IDENTIFIER * 65536 + sequence;
      endpoint.sendEcho({ ...ends, type: ECHO_REQUEST, word, data });
    }
    await until(`replies to ${size} bytes`, ANSWER_MS_MAX, async () => {
      return endpoint.replies.length >= ECHO_COUNT;
    });
    const replies = endpoint.replies.map(({ word, data, pieces }) => ({
      sequence: word - IDENTIFIER * 65536,
      isWhole: sent[word & 0xffff]?.equals(data),
      pieces,
    }));
    const expected = sent.map((_, sequence) => ({
      sequence,
      isWhole: true,
      pieces: PIECES[index],
    }));
    t.strictSame(replies, expected, `${size} bytes came back as they were, in order`);
  }
}

/** DSCP stays apart, ECN goes through (RFC 6040): what the container itself sees. */
async function tos(t: Test, { lab, fan, endpoint }: Scene): Promise<number> {
  const ends = {
    source: workloadOf(lab.host(1).address),
    destination: fan.container.address,
    type: ECHO_REQUEST,
    data: Buffer.alloc(20, 7),
  };
  const wire = Wire.open(fan.container, 'eth0');
  let lost = 0;
  try {
    for (const [inner, outer, seen] of [
      [0x28, 0, 0x28],
      [0x28, 0xb8, 0x28],
      [0x2a, 0xbb, 0x2b],
      [0x02, 0x01, 0x01],
      [0x01, 0x03, 0x03],
      [0x03, 0x00, 0x03],
      // An inner sender that cannot be told of congestion: dropped, not delivered.
      [0x28, 0x03, undefined],
    ] as const) {
      const word = IDENTIFIER * 65536 + 1000 + inner * 256 + outer;
      endpoint.sendEcho({ ...ends, tos: inner, word }, outer);
      const isOurs = (bytes: Buffer) =>
        bytes.length >= 42 && bytes[23] === 1 && bytes.readUInt32BE(38) === word;
      const frame = await wire.find(
        ({ bytes, outgoing }) => !outgoing && isOurs(bytes),
        seen === undefined ? 200 : ANSWER_MS_MAX,
      );
      const name = `inner ${inner.toString(16)}, outer ${outer.toString(16)}`;
      t.equal(frame?.bytes[15], seen, name);
      if (seen === undefined) lost += 1;
    }
  } finally {
    wire.close();
  }
  return lost;
}

for (const encap of ['ipip', 'fou'] as const) {
  for (const offload of ['auto', 'off'] as const) {
    t.test(`${encap}, --offload ${offload}`, { skip }, async (t) => {
      // Plain cards, which cut trains: what is seen is what would be on a wire.
      const lab = await Lab.create({ hosts: 2, mtu: UNDERLAY_MTU, underlayOffloads: false });
      t.teardown(() => lab.close());
      const fan = await FanHost.up(lab, 0, ['--encap', encap, '--offload', offload]);
      const [port, overheadBytes] = encap === 'ipip' ? [0, 20] : [5555, 28];
      const mtu = UNDERLAY_MTU - overheadBytes;
      const endpoint = new Endpoint(lab.host(1), port, fan.host.address, mtu);
      t.teardown(() => endpoint.close());
      const scene = { lab, fan, endpoint, encap, port };
      await containerAsks(t, scene);
      await endpointAsks(t, scene);
      const lost = await tos(t, scene);
      t.strictSame(endpoint.faults, [], 'every inner packet was right');
      await fan.balance(t, { 'ingress.drop.ecn_not_capable': lost });
      await fan.down();
    });
  }
}
