/**
 * A card that damages trains, as a process: copies what passes between two ports of a wired lab whose
 * offloads are on, uncut, and cuts UDP trains by itself, so that what it cuts badly has a UDP length that
 * is not true, as of a receiver's kernel's drop.
 *
 * argv[2]: JSON of TrainRelayStart. stdin: one {@link Damage} a line. Ends with its standard input.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';
import { readTrain, type TrainFrame } from './train-frame.ts';

/** What is damaged: nothing, trains of datagrams of one length, or all trains. */
export type Damage = 'nothing' | 'equal' | 'all';
export type TrainRelayStart = { ports: number[]; damage: Damage };

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
const ETH_P_ALL = 0x0300;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUFFORCE = 32;
const BUFFER_BYTES = 16 << 20;
const POLLIN = 1;
const FRAME_BYTES_MAX = 70_000;
const FRAMES_PER_TURN = 64;

if (process.argv[2]?.startsWith('{')) run(JSON.parse(process.argv[2]) as TrainRelayStart);

function openPort(index: number): number {
  const socket = check('socket', libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, ETH_P_ALL));
  const set = (level: number, name: number, value: number): void => {
    const bytes = new Uint32Array([value]);
    check('setsockopt', libc.setsockopt(socket, level, name, addressOf(bytes), 4));
  };
  set(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  set(SOL_PACKET, PACKET_VNET_HDR, 1);
  set(1, SO_RCVBUFFORCE, BUFFER_BYTES);
  set(1, SO_SNDBUFFORCE, BUFFER_BYTES);
  // struct sockaddr_ll: family, protocol (network order), ifindex, …
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL, true);
  address.setInt32(4, index, true);
  check('bind', libc.bind(socket, addressOf(address), 20));
  return socket;
}

function run(start: TrainRelayStart): void {
  let { damage } = start;
  const sockets = start.ports.map(openPort);
  const frame = Buffer.alloc(FRAME_BYTES_MAX);
  const polls = new DataView(new ArrayBuffer(8 * sockets.length));
  for (const [i, socket] of sockets.entries()) polls.setInt32(i * 8, socket, true);

  const isDamaged = (train: TrainFrame): boolean =>
    damage === 'all' || (damage === 'equal' && train.isEqual);

  function receive(direction: number): void {
    const from = sockets[direction];
    const to = sockets[1 - direction];
    if (from === undefined || to === undefined) return;
    for (let i = 0; i < FRAMES_PER_TURN; i++) {
      const length = libc.read(from, addressOf(frame), FRAME_BYTES_MAX);
      if (length <= 0) return;
      const train = readTrain(frame, length);
      if (train === undefined || !isDamaged(train)) libc.write(to, addressOf(frame), length);
      else {
        for (const piece of train.damagedPieces()) libc.write(to, addressOf(piece), piece.length);
      }
    }
  }

  function turn(): void {
    for (let i = 0; i < sockets.length; i++) polls.setInt16(i * 8 + 4, POLLIN, true);
    libc.poll(addressOf(polls), sockets.length, 5);
    for (let direction = 0; direction < sockets.length; direction++) receive(direction);
    setImmediate(turn);
  }

  const changes = createInterface({ input: process.stdin });
  changes.on('close', () => process.exit(0));
  changes.on('line', (line) => {
    damage = line as Damage;
    writeSync(1, 'changed\n');
  });
  writeSync(1, 'ready\n');
  turn();
}
