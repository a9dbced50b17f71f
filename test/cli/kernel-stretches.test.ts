import t from 'tap';
import { BAD_STRETCHES, isWithin, stretchText } from '../../src/cli/doctor/kernel-stretches.ts';

t.test('bad stretches of kernels, by release', async (t) => {
  const [trains, veth] = BAD_STRETCHES;
  if (trains === undefined || veth === undefined) throw new RangeError('two stretches are known');
  for (const [release, isTrains, isVeth] of [
    ['6.1.0-18-amd64', false, false],
    ['6.15.11', false, false],
    ['6.16-rc1', false, true],
    ['6.16.0', false, true],
    ['6.17.9-arch1-1', false, true],
    ['6.17.10', false, false],
    ['6.18.44-fc', false, false],
    ['6.19.14', false, false],
    ['7.0-rc3', true, false],
    ['7.0.0-12-generic', true, false],
    ['7.1.4', true, false],
    ['7.1.5', false, false],
    ['7.10.0', false, false],
    ['17.0.1', false, false],
    ['next', undefined, undefined],
  ] as const) {
    t.equal(isWithin(release, trains), isTrains, `${release}: ${trains.name}`);
    t.equal(isWithin(release, veth), isVeth, `${release}: ${veth.name}`);
  }
  t.equal(stretchText(trains), '7.0.0 to 7.1.4');
});
