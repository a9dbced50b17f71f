/**
 * Who asks a member about itself. A stream proves that both ends have the cluster's key; a question that is
 * signed proves which member asks, and whom: nobody else is told the same for it.
 * @module
 */
import { NO_BYTES } from '../../wire/gossip/message.ts';
import { type Message, MessageType, type NodeId } from '../../wire/gossip/types.ts';
import type { Signer, Verifier } from '../base/signer.ts';

type Ask = Extract<Message, { type: typeof MessageType.Ask }>;

/** A question as it reaches whoever answers it. */
export type Asked = {
  question: number;
  about: string;
  /** The member at the other end of the stream, by its own word where `isProved` is false. */
  from: NodeId;
  /** Its signature is right. */
  isProved: boolean;
};

/** What is signed: a mark of its own, so that it can be nothing else that a node signs. */
function signedBytes(from: NodeId, to: NodeId, question: number, about: string): Uint8Array {
  return Buffer.from(`fanway question 1\n${from}\n${to}\n${question}\n${about}`);
}

/** The question of `from` to `to`; signed where it is about something. */
export function askOf(
  question: number,
  about: string,
  { from, to, signer }: { from: NodeId; to: NodeId; signer: Signer },
): Ask {
  const ask = { type: MessageType.Ask, question, about, publicKey: NO_BYTES, signature: NO_BYTES };
  if (about === '') return ask;
  const signature = signer.sign(signedBytes(from, to, question, about));
  return { ...ask, publicKey: signer.publicKey, signature };
}

/** The same at the other end, where `from` is who the stream says it is. */
export function readAsk(
  { question, about, publicKey, signature }: Ask,
  { from, to, verifier }: { from: NodeId; to: NodeId; verifier: Verifier },
): Asked {
  const isProved =
    publicKey.length > 0 &&
    verifier.ownerOf(publicKey) === from &&
    verifier.verify(publicKey, signedBytes(from, to, question, about), signature);
  return { question, about, from, isProved };
}
