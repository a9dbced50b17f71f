/**
 * Sealed bytes that are promised: never edit one, only add. Blanks stand between fields. They are
 * what version 0.1 seals, and every later version must open them.
 *
 * B (`senderId`) says hello to A, who does not know it yet: data, challenge, response, data.
 * @module
 */

export const CLUSTER_KEY = '9ce0d05cc319b370bf38e69376712e9ed4f069a4105cf95847d157c28ad521c4';
export const KEY_ID = 0xef0faa05;
export const LABEL = 'test';
export const SENDER_ID = '9d4a423b1f9080df2b3e726b4225cf8f';
export const SENDER_PUBLIC_KEY = '627f17d893e5697a4ba2208bc80b0292e7f58d8120eb353c1b55429db9c6b196';
export const RECEIVER_ID = '2c4e4d1de6fbfc05d950fc7e6461be30';
/** What the two data datagrams carry. */
export const PAYLOAD = 'hello';

/** Header (version, kind and key number; sender; epoch, nonce; counter), recipient, the rest. */
export const SEALED = {
  dataForAnybody: `01 01 ef0faa05 9d4a423b1f9080df2b3e726b4225cf8f 00000001 322387d1b61b4fb5
    0000000000000001 00000000 cfb8e85b
    6f7ab1467dd7d20d643f0391bdb11038d6549ecffcbc9a698fa1aa4fda24f693fb
    eb853ad5076bc6bb69b9f1102672d06a`,
  challenge: `01 02 ef0faa05 2c4e4d1de6fbfc05d950fc7e6461be30 00000001 0da17c198245883a
    0000000000000001 9d4a423b 019e8760
    2f7bfc6c8341195003765cf6a1650974b6972af2ff3483cda9cc49c89142714403
    e493332dc513aa893bc9d1ad158dc371`,
  response: `01 03 ef0faa05 9d4a423b1f9080df2b3e726b4225cf8f 00000001 322387d1b61b4fb5
    0000000000000002 2c4e4d1d 4c551a9b
    f049f8afc693114928b60dceb0380ca0b5b4df11dbdd639f4c6ded234e25618240329f1d765d2f221644466f53ca42c8
    603017db475f9adb0399df5421e609f31c68bb70d153cc21d12651eb003c3aad0f3d40bafb8137362bf1f9d453529084
    33643e4c4faa3a25efae3e9b70c4418f74d839d3
    284c000954f49dc47e3bf3720a9839cd`,
  data: `01 01 ef0faa05 9d4a423b1f9080df2b3e726b4225cf8f 00000001 322387d1b61b4fb5
    0000000000000003 2c4e4d1d 778f6230
    0b0298c671903e449fcc73bc0cd7cff94cba3d8f46e3166a9d0f26c4e01148305c
    942142e6b023b8ef56f6e3218ec5a112`,
} as const;

/** A stream from B to A, whose nonces are 16 times 11 and 16 times 22: frames with their lengths. */
export const STREAM = {
  hello: `0000003d 01 ef0faa05 9d4a423b1f9080df2b3e726b4225cf8f 00000001
    11111111111111111111111111111111 f8353b54 6df2d81a8c32e56b2dbf526e9efe17b2`,
  answer: `0000003d 01 ef0faa05 2c4e4d1de6fbfc05d950fc7e6461be30 00000001
    22222222222222222222222222222222 bc9a7ab9 0ba70f393ef6b42282f794d229fa7105`,
  data: '00000019 e71f90c5 f3751a33a9 a61648bc2093a1da8727f0244c0f790a',
} as const;
