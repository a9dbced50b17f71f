/**
 * What the gossip channel pays for its keys: a datagram sealed and opened, a block signed and
 * checked. The plain versions prepare each key anew.
 * @module
 */
import { createPrivateKey, randomBytes, sign } from 'node:crypto';
import { Counters } from '../../src/gossip/base/counters.ts';
import { Keyring } from '../../src/gossip/base/keyring.ts';
import { Ed25519Verifier, ed25519Signer, nodeIdOf } from '../../src/gossip/base/signer.ts';
import { deriveSubkeys, open, SEAL_BYTES, seal } from '../../src/gossip/seal/cipher.ts';
import { Secure } from '../../src/gossip/seal/secure.ts';
import { encodeBlock } from '../../src/wire/gossip/block.ts';
import { type Block, type Endpoint, ItemKind, type MacItem } from '../../src/wire/gossip/types.ts';
import { at, type Case, same } from './harness.ts';

/** Payload of a probe, of a full datagram. */
const PAYLOAD_BYTES = [32, 1133];
/** Header, recipient and a label of six characters. */
const BOUND_BYTES = 52;
const ITEMS = 32;
const BLOCK: Block = {
  publicKey: new Uint8Array(32),
  epoch: 1,
  sequence: 7,
  live: [[1, 5]],
  left: false,
  items: [],
};

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');

function sealing(payloadBytes: number): Case[] {
  const [clusterKey, context, bound] = [randomBytes(32), randomBytes(28), randomBytes(BOUND_BYTES)];
  const payload = randomBytes(payloadBytes);
  const label = Buffer.from('fanway');
  const derive = () => deriveSubkeys(clusterKey, label, 'datagram', context);
  const keys = derive();
  const out = new Uint8Array(payloadBytes + SEAL_BYTES);
  const sealWith = (subkeys: typeof keys): Uint8Array => {
    seal(subkeys, 7, bound, payload, out, 0);
    return out;
  };
  const sealed = sealWith(keys).slice();
  const forged = sealed.with(20, 255 - (sealed[20] ?? 0));
  const title = `${payloadBytes} bytes`;
  const common = { mirrors: 'gossip/seal/cipher.ts', packets: 1 };
  return [
    {
      ...common,
      key: `seal/${payloadBytes}`,
      title: `seal a datagram of ${title}`,
      fast: () => at([...sealWith(keys).subarray(0, 1)], 0),
      plain: () => at([...sealWith(derive()).subarray(0, 1)], 0),
      check: () => same('seal', [hex(sealWith(keys))], [hex(sealWith(derive()))]),
    },
    {
      ...common,
      key: `open/${payloadBytes}`,
      title: `open a datagram of ${title}`,
      fast: () => open(keys, 7, bound, sealed)?.length ?? 0,
      plain: () => open(derive(), 7, bound, sealed)?.length ?? 0,
      check: () => {
        same('open', [hex(open(keys, 7, bound, sealed))], [hex(payload)]);
        same('open', [hex(open(derive(), 7, bound, sealed))], [hex(payload)]);
      },
    },
    {
      ...common,
      key: `refuse/${payloadBytes}`,
      title: `refuse a forged datagram of ${title}`,
      fast: () => open(keys, 7, bound, forged)?.length ?? 0,
      plain: () => open(derive(), 7, bound, forged)?.length ?? 0,
      check: () => same('refuse', [hex(open(keys, 7, bound, forged))], ['']),
    },
  ];
}

/** Two nodes that have proved to each other that they live, and one way between them. */
function channel(): (payload: Uint8Array) => Uint8Array {
  const endpoints = [1, 2].map((address) => ({ address, port: 7946 }));
  const [from, to] = [at(endpoints, 0), at(endpoints, 1)];
  const keyring = Keyring.generate(randomBytes);
  const verifier = new Ed25519Verifier();
  const make = (own: Endpoint, other: () => Secure): Secure => {
    const signer = ed25519Signer(randomBytes(32));
    return new Secure({
      ...{ keyring, label: 'fanway', self: nodeIdOf(signer.publicKey), signer, verifier, epoch: 1 },
      ...{ random: randomBytes, counters: new Counters(), nowMs: () => 0 },
      send: (_to, datagram) => other().open(own, datagram),
      notice: (cause) => {
        throw new Error(cause);
      },
    });
  };
  const sender: Secure = make(from, () => receiver);
  const receiver: Secure = make(to, () => sender);
  receiver.open(from, sender.seal(to, new Uint8Array(0)));
  return (payload) => {
    const opened = receiver.open(from, sender.seal(to, payload));
    if (opened === undefined) throw new Error('the channel lost a datagram');
    return opened.payload;
  };
}

function passing(payloadBytes: number): Case {
  const [clusterKey, context, bound] = [randomBytes(32), randomBytes(28), randomBytes(BOUND_BYTES)];
  const payload = randomBytes(payloadBytes);
  const label = Buffer.from('fanway');
  const derive = () => deriveSubkeys(clusterKey, label, 'datagram', context);
  const out = new Uint8Array(payloadBytes + SEAL_BYTES);
  const pass = channel();
  const plain = (): Uint8Array => {
    seal(derive(), 7, bound, payload, out, 0);
    return open(derive(), 7, bound, out) ?? new Uint8Array(0);
  };
  return {
    key: `datagram/${payloadBytes}`,
    mirrors: 'gossip/seal/secure.ts',
    title: `seal and open ${payloadBytes} bytes between two nodes, with session and window`,
    packets: 1,
    fast: () => pass(payload).length,
    plain: () => plain().length,
    check: () => same('datagram', [hex(pass(payload))], [hex(plain())]),
  };
}

function signing(): Case[] {
  const secret = randomBytes(32);
  const signer = ed25519Signer(secret);
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const plainSign = (body: Uint8Array): Uint8Array => {
    const key = Buffer.concat([prefix, secret]);
    return sign(null, body, createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
  };
  const items = Array.from(
    { length: ITEMS },
    (_, index): MacItem => ({ kind: ItemKind.Mac, vni: 100, rank: 0, mac: index + 1 }),
  );
  const body = encodeBlock({ ...BLOCK, publicKey: signer.publicKey, items });
  const singles = items.map((item) =>
    encodeBlock({ ...BLOCK, publicKey: signer.publicKey, items: [item] }),
  );
  const signature = signer.sign(body);
  const signatures = singles.map((single) => signer.sign(single));
  const verifier = new Ed25519Verifier();
  const verify = (one: Verifying): number =>
    Number(one.verifier.verify(signer.publicKey, one.body, one.signature));
  const together = { verifier, body, signature };
  const apart = singles.map((single, index) => {
    return { verifier, body: single, signature: at(signatures, index) };
  });
  const fresh = (): number => verify({ ...together, verifier: new Ed25519Verifier() });
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  const common = { mirrors: 'gossip/base/signer.ts', packets: 1 };
  return [
    {
      ...common,
      key: 'sign/block',
      title: `sign a block of ${ITEMS} entries`,
      fast: () => signer.sign(body).length,
      plain: () => plainSign(body).length,
      check: () => same('sign', [hex(signer.sign(body))], [hex(plainSign(body))]),
    },
    {
      ...common,
      key: 'verify/block',
      title: `verify a block of ${ITEMS} entries`,
      fast: () => verify(together),
      plain: fresh,
      check: () => same('verify', [verify(together), fresh()], [1, 1]),
    },
    {
      ...common,
      key: 'sign/entry',
      title: 'sign an entry: many in one block, each in its own',
      packets: ITEMS,
      fast: () => signer.sign(body).length,
      plain: () => sum(singles.map((single) => signer.sign(single).length)),
      check: () => same('sign', [items.length], [singles.length]),
    },
    {
      ...common,
      key: 'verify/entry',
      title: 'verify an entry: many in one block, each in its own',
      packets: ITEMS,
      fast: () => verify(together),
      plain: () => sum(apart.map(verify)),
      check: () => same('verify', [verify(together), sum(apart.map(verify))], [1, ITEMS]),
    },
  ];
}

type Verifying = { verifier: Ed25519Verifier; body: Uint8Array; signature: Uint8Array };

export function gossipCases(): Case[] {
  return [...PAYLOAD_BYTES.flatMap(sealing), ...PAYLOAD_BYTES.map(passing), ...signing()];
}
