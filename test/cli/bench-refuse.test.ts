import t from 'tap';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { Listening, Talk, talk, twoHosts } from './bench-hosts.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

t.test('bench says what is missing', { skip }, async (t) => {
  const [near, far] = await twoHosts(t, 'ipip');
  const bench = (...args: string[]) => fanway(near, 'bench', ...args);
  t.match(await bench('250.1.27.1'), {
    code: 1,
    err: /nothing listens on 172\.30\.1\.27:5270; run this there first:\nfanway: +fanway bench --listen\n/,
  });
  t.match(await bench('9.9.9.9'), {
    code: 2,
    err: /9\.9\.9\.9 is in no fan of this host, which has/,
  });
  t.match(await bench('250.0.28.7'), { code: 2, err: /on this host/ });
  t.match(await bench('172.30.0.28', '--json'), { code: 2, out: /"code":"itself"/ });
  t.match(await bench(), { code: 2, err: /name the other host/ });
  t.match(await bench('host.example'), { code: 2 });
  t.match(await bench('250.1.27.1', '--port', '0'), { code: 2, err: /--port is a whole number/ });
  t.match(await bench('250.1.27.1', '--life', '5'), { code: 2, err: /goes with --listen/ });
  t.match(await bench('250.1.27.1', '--svg', '/nowhere/x.svg'), { code: 2, err: /cannot be writ/ });
  t.match(await bench('--listen', '--allow', '250'), { code: 2 });
  t.match(await bench('--listen', '--life', '3601'), { code: 2, err: /--life/ });

  const strict = await Listening.start(t, far, '--allow', '172.30.9.9');
  t.match(await bench('250.1.27.1'), {
    code: 1,
    err: /does not allow 172\.30\.0\.28; run this there:\nfanway: +fanway bench --listen --allow 172\.30\.0\.28\/32/,
  });
  t.equal(await talk(near, 5270, 'fan 250.0.0.0/8\n'), '', 'not a byte for others');
  await strict.stop();

  const listening = await Listening.start(t, far);
  t.match(await fanway(far, 'bench', '--listen'), { code: 1, err: /something listens there/ });
  const hello = 'fanway-bench 1\n';
  const refusals: [lines: string, answer: RegExp][] = [
    ['GET / HTTP/1.1\r\n\r\n', /^error a line is printable ASCII$/m],
    ['tcp-send tunnel 1 500\n', /^error name the fan first$/m],
    ['fan 251.0.0.0/8\n', /^error no fan 251\.0\.0\.0\/8 is up here$/m],
    ['network 100 10.1.0.1\n', /^error no network 100 is up here$/m],
    ['network 100 blue\n', /^error network takes a VNI and an address/m],
    ['fan 250.0.0.0/8\ntcp-send tunnel 1 500\ntcp-send tunnel 1 500\n', /^error one thing at a t/m],
    ['fan 250.0.0.0/8\nfinish\nfan 9.9.9.9\n', /^error fan takes an overlay/m],
    [`${'x'.repeat(300)}\n`, /^error a line has at most/m],
    ['fan 250.0.0.0/8\n'.repeat(301), /^error too many commands$/m],
  ];
  for (const [lines, answer] of refusals) {
    const heard = await talk(near, 5270, lines);
    t.ok(heard.startsWith(hello), heard);
    t.match(heard, answer, lines.slice(0, 40));
  }
  t.equal(await talk(near, 5270, 'bye\n'), hello);

  await t.test('one client at a time, and data for its address only', async (t) => {
    const first = new Talk(near, 5270, 'fan 250.0.0.0/8\ntcp-send underlay 1 500\n');
    t.teardown(() => first.end());
    await first.until(/^ready 5271$/m);
    t.match(await talk(near, 5270, ''), /^error somebody else is measuring$/m);
    // From the far host itself: connects, and is hung up on without a byte.
    t.equal(await talk(far, 5271, ''), '');
  });
  await listening.stop();

  const brief = await Listening.start(t, far, '--life', '1');
  t.equal(await brief.ended, 0, 'its life ends');
  t.equal((await fanway(near, 'down', '-e')).code, 0);
  t.match(await bench('250.1.27.1'), { code: 5, err: /no router runs here/ });
});
