/**
 * What V8 is told in a data process. `bench:micro` times the pieces of the data path with the same.
 * @module
 */

/**
 * The first packets after start or idleness meet compiled code, not the interpreter (a third off an
 * idle echo's time); the loop allocates nothing, so a small young generation is enough. The stages of a
 * packet's way are compiled into one another as far as this many bytes of bytecode, and not V8's usual 920:
 * a fifth off a packet.
 */
export const DATA_V8_FLAGS: readonly string[] = [
  '--always-sparkplug',
  '--max-semi-space-size=1',
  '--max-inlined-bytecode-size-cumulative=2500',
];
