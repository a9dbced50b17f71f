import { testAgainstKernel } from './kernel-runs.ts';

testAgainstKernel(false, [
  { port: 4789, offload: 'auto', resolve: 'flood' },
  { port: 8472, offload: 'off', resolve: 'static' },
]);
