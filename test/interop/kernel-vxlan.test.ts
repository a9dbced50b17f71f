import { forwardedByKernel, testAgainstKernel } from './kernel-runs.ts';

testAgainstKernel(true, [
  { port: 4789, offload: 'auto', resolve: 'static' },
  { port: 4789, offload: 'off', resolve: 'flood' },
  { port: 8472, offload: 'auto', resolve: 'flood' },
  ...forwardedByKernel,
]);
