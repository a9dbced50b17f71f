/**
 * One test of the trains to a peer, as it is on the wire: an uneven train, an even one, and datagrams on
 * their own behind them, all from one port, so that they stay in order.
 * @module
 */
import { ENCAPS } from '../../../encap/encap.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import { libc } from '../../../sys/libc/libc.ts';
import { sendTrain } from '../../../sys/sockets/send-train.ts';
import { openSendOnlyUdp } from '../../../sys/sockets/sockets.ts';
import { emitTrainTest, TrainShape } from '../../../wire/lan/train-test.ts';
import type { AnySpec } from '../../store/link-spec.ts';
import type { TrainsSent } from './train-proofs.ts';

const DATAGRAMS = 8;
const SINGLES = 3;
/** One call may send so much, bytes. */
const TRAIN_BYTES_MAX = 65_000;
/** By how much the last datagram of an uneven train is shorter. */
const SHORTER_BYTES = 100;

/** Whether trains of a link can be tested at all. */
export function hasTrainTests({ encap, datapath, offload }: AnySpec): boolean {
  return ENCAPS[encap].udp && datapath !== 'kernel' && offload === 'auto';
}

/**
 * Sends a test of `token` to a host of a link from our address `local`, in datagrams of `bytes`, all of
 * UDP's payload. @throws SystemError, where this host refuses to
 */
export function sendTrainTest(
  { encap, vni, port }: AnySpec,
  local: UnderlayAddress,
  host: UnderlayAddress,
  token: Buffer,
  bytes: number,
): TrainsSent {
  const { shimBytes, emitShim } = ENCAPS[encap];
  const count = Math.max(2, Math.min(DATAGRAMS, Math.floor(TRAIN_BYTES_MAX / bytes)));
  const datagram = (shape: TrainShape, index: number, length = bytes): Buffer => {
    const datagram = Buffer.alloc(length);
    const view = new DataView(datagram.buffer, datagram.byteOffset, length);
    emitShim(view, 0, vni);
    emitTrainTest(datagram.subarray(shimBytes), token, shape, index);
    return datagram;
  };
  const train = (shape: TrainShape, last: number): Buffer<ArrayBuffer> =>
    Buffer.concat(
      Array.from({ length: count }, (_, i) => datagram(shape, i, i === count - 1 ? last : bytes)),
    );
  const to = { address: host, port };
  const { fd } = openSendOnlyUdp(local, { offload: true });
  try {
    sendTrain(fd, to, train(TrainShape.Uneven, bytes - SHORTER_BYTES), bytes);
    sendTrain(fd, to, train(TrainShape.Equal, bytes), bytes);
    for (let i = 0; i < SINGLES; i++) {
      sendTrain(fd, to, Buffer.from(datagram(TrainShape.Single, i)));
    }
  } finally {
    libc.close(fd);
  }
  return {
    [TrainShape.Single]: SINGLES,
    [TrainShape.Equal]: count,
    [TrainShape.Uneven]: count,
  };
}
