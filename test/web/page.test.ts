import t, { type Test } from 'tap';
import { WEB_CLIENTS_MAX } from '../../src/control/web/page-server.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { fanway, statusOf } from '../control/lab-router.ts';
import { powerCut, runFanway, startCluster } from '../netns/gossip/cluster.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { testProgram } from '../netns/relay.ts';
import { skipLong } from '../support/long.ts';
import { Browser, skipWithoutBrowser } from './browser.ts';

// Real processes, and a browser, on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();
const skipPage = skip || skipLong || skipWithoutBrowser();

async function openPage(host: LabHost, ...args: string[]): Promise<URL> {
  return new URL((await runFanway(host, ['web', ...args])).trim());
}

type Asked = { held: number; answers: string[] };

/** Requests as bytes, from within the host, and beside them `silent` connections. */
async function ask(host: LabHost, port: string, heads: string[][], silent = 0): Promise<Asked> {
  const words = [testProgram('web/ask-main.js'), port, String(silent), JSON.stringify(heads)];
  const child = host.spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(output) as Asked;
}

async function refusals(t: Test, host: LabHost, { port, hash }: URL): Promise<void> {
  const bearer = `authorization: Bearer ${hash.slice(1)}`;
  const here = `host: 127.0.0.1:${port}`;
  const get = 'GET /v1/status HTTP/1.1';
  const cases: [status: string, head: string[], what?: string][] = [
    ['200', [get, here, bearer]],
    ['200', [get, 'host: localhost:9999', bearer], 'through a tunnel of ssh'],
    ['401', [get, here], 'without the token'],
    ['401', [get, here, `${bearer}x`], 'with another one'],
    ['403', [get, 'host: rebound.example', bearer], 'a name that was rebound'],
    ['403', [get, 'host: 127.0.0.1.example', bearer], 'and one that looks like it'],
    ['403', [get, here, bearer, 'origin: http://evil.example'], 'another page'],
    ['403', [get, here, bearer, 'sec-fetch-site: cross-site'], 'another page, by its own word'],
    ['200', [get, here, bearer, `origin: http://127.0.0.1:${port}`], 'the page itself'],
    ...['/v1/fans', '/v1/down', '/v1/gossip/keys', '/metrics', '/../x'].map(
      (path): [string, string[], string] => ['404', [`GET ${path} HTTP/1.1`, here, bearer], path],
    ),
  ];
  const { held, answers } = await ask(
    host,
    port,
    [...cases.map(([, head]) => head), ['GET / HTTP/1.1', here]],
    60,
  );
  t.ok(held <= WEB_CLIENTS_MAX, `${held} of 60 silent connections were kept`);
  for (const [index, [status, head, what]] of cases.entries()) {
    t.equal(answers[index]?.slice(9, 12), status, what ?? head.join(' '));
  }
  const page = answers.at(-1) ?? '';
  t.match(page, /content-security-policy: default-src 'none'; script-src 'sha256-/i);
  t.match(page, /x-frame-options: DENY/i);
  t.notMatch(page, hash.slice(1), 'the page does not have the token');
  t.notMatch(page.split('<title>')[1] ?? '', /https?:\/\/(?!www\.w3\.org)/, 'it loads nothing');
}

/** Whether nothing of the page stands out to the right. */
async function fits(browser: Browser): Promise<boolean> {
  const over = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
  return Number(await browser.evaluate(over)) <= 0;
}

async function byKeyboard(t: Test, browser: Browser): Promise<void> {
  await browser.evaluate('document.activeElement?.blur()');
  await browser.press('/');
  const focused = () => browser.evaluate('document.activeElement.id');
  t.equal(await focused(), 'wanted', '/ comes to the search');
  await browser.press('Tab');
  await browser.press('Tab');
  const inMap = "document.activeElement.closest('#map') !== null";
  t.equal(await browser.evaluate(inMap), true, 'two steps on is the map');
  const label = () => browser.evaluate("document.activeElement.getAttribute('aria-label')");
  const first = await label();
  await browser.press('ArrowRight');
  t.not(await label(), first, 'arrows go from host to host');
  await browser.press('Home');
  const pressed = () => browser.evaluate("document.activeElement.getAttribute('aria-pressed')");
  // The nearest host comes first, and it may be the one that is chosen already.
  if ((await pressed()) === 'true') await browser.press('ArrowRight');
  await browser.press('Enter');
  const name = String(await label()).split(',')[0] ?? '';
  await browser.sees('#detail', new RegExp(name));
  t.equal(await pressed(), 'true');
  await browser.press('Enter');
}

/** What a reader of screens would stumble over. */
const BARRIERS = `(() => {
  const named = (element) =>
    (element.getAttribute('aria-label') ?? element.innerText ?? '').trim() !== '' ||
    element.labels?.length > 0 || element.getAttribute('aria-labelledby') !== null;
  const interactive = [...document.querySelectorAll('button, input, a, [role=button]')];
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  return [
    ...interactive.filter((e) => e.checkVisibility() && !named(e)).map((e) => 'no name: ' + e.outerHTML),
    ...ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => 'twice: ' + id),
    ...[...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].flatMap((e) =>
      [e.getAttribute('aria-labelledby'), e.getAttribute('aria-describedby')]
        .filter((id) => id !== null && document.getElementById(id) === null)),
    ...[...document.querySelectorAll('[style]')].map((e) => 'style: ' + e.outerHTML),
  ];
})()`;

t.test('the page shows what happens, and answers to nobody else', { skip }, async (t) => {
  const { lab, hosts } = await startCluster(t, { hosts: 3 });
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  t.match(await fanway(a, 'web', '--off'), { code: 0, out: 'there was none\n' });
  const url = await openPage(a);
  t.equal(url.hostname, '127.0.0.1');
  t.equal((await openPage(a)).href, url.href, 'asked again: the same');
  t.match(await fanway(a, 'web', '--port', '9'), { code: 3, err: /on port 7980 already/ });
  t.match(await fanway(a, 'web', '--port', '99999'), { code: 2 });
  await refusals(t, a, url);
  await t.test('in a browser', { skip: skipPage }, async (t) => {
    const browser = await Browser.start(a);
    t.teardown(() => browser.close());
    await browser.open(url.href);
    await browser.sees('#state', /all is well/);
    for (const { name } of hosts) await browser.sees('#hosts', new RegExp(`${name}.*alive`, 's'));
    t.equal(await browser.evaluate("document.querySelectorAll('#map [role=button]').length"), 3);
    await browser.sees('#links', /fan-250-0-28[\s\S]*up[\s\S]*250\.0\.0\.0\/8/);
    await browser.picture('desk-light');

    await browser.click(`#hosts-rows tr:nth-child(2) button`);
    await browser.sees('#detail', new RegExp(formatIpv4(b.address)));
    await byKeyboard(t, browser);
    t.same(await browser.evaluate(BARRIERS), [], 'nothing without a name');

    await runFanway(b, ['announce', '250.0.28.77']);
    await browser.sees('#entries-card', /250\.0\.28\.77\/32[\s\S]*gossip[\s\S]*host2/);
    await browser.sees('#log', /250\.0\.28\.77\/32 on fan-250-0-28 is at 172\.30\.1\.27/);
    const search = async (wanted: string) => {
      await browser.evaluate("document.getElementById('wanted').value = ''");
      await browser.click('#wanted');
      await browser.type(wanted);
      await browser.press('Enter');
    };
    await search('250.0.28.77');
    await browser.sees('#found', /announced \(250\.0\.28\.77\/32\) by host2/);
    await search('HOST3');
    await browser.sees('#found', /host3[\s\S]*A host, alive/);
    await search('<img src=x onerror=alert(1)>');
    await browser.sees('#found-none', /Nothing here is called <img/);
    t.equal(await browser.evaluate("document.querySelectorAll('img').length"), 0);

    await browser.scheme('dark');
    powerCut(c);
    await browser.sees('#hosts-rows tr:first-child', /host3[\s\S]*dead/);
    await browser.sees('#trouble', /host3 is dead/);
    await browser.sees('#log', /host3: (alive|suspect) → (suspect|dead)/);
    await browser.sees('#state', /to look at/);
    await browser.picture('desk-dark');
    await browser.size(360, 740, true);
    t.ok(await fits(browser), 'on a phone nothing stands out');
    await browser.picture('phone-dark');
    await browser.scheme('light');
    await browser.picture('phone-light');
    t.same(
      browser.requests.filter((one) => !/^(http:\/\/127\.0\.0\.1:7980\/|data:,|about:)/.test(one)),
      [],
      'nothing was asked of anybody else',
    );
    t.same(browser.complaints, [], 'no policy was broken, no script failed');

    // A router that is killed comes back by itself; its page does when somebody wants it again.
    process.kill((await statusOf(a)).pid, 'SIGKILL');
    await browser.sees('#alarm', /does not answer: it has ended/);
    await runFanway(a, ['wait', '--timeout', '60']);
    await browser.open('about:blank');
    await browser.open((await openPage(a)).href);
    await browser.sees('#state', /to look at|all is well/);
    await browser.sees('#entries-card', /250\.0\.28\.77/);

    await runFanway(a, ['web', '--off']);
    await browser.sees('#alarm', /does not answer/);
    await openPage(a);
    await browser.sees('#alarm', /no longer good/);
  });
});
