/**
 * A browser without a screen, steered through the two pipes of its DevTools protocol: no package, no port.
 * https://chromedevtools.github.io/devtools-protocol/
 * @module
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Place } from '../../src/traffic/run.ts';
import { until } from '../support/patience.ts';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];
/** A busy machine starts it in its own time. */
const ANSWER_MS = 120_000;

/** The program, '' where there is none. */
export function browserProgram(): string {
  return PROGRAMS.find((name) => spawnSync('which', [name]).status === 0) ?? '';
}

export function skipWithoutBrowser(): string | false {
  return browserProgram() === '' && 'there is no chromium: apt-get install chromium';
}

type Answer = { id?: number; method?: string; params?: unknown; result?: unknown; error?: unknown };

/** A field of what the browser said, somewhere below. */
function at(value: unknown, ...path: string[]): unknown {
  let found = value;
  for (const name of path) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, name) : undefined;
  }
  return found;
}

export class Browser {
  readonly #child: ChildProcess;
  readonly #commands: Writable;
  readonly #profile: string;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #number = 0;
  #session = '';
  /** Addresses that the page asked for, and what the browser complained about. */
  readonly requests: string[] = [];
  readonly complaints: string[] = [];

  private constructor(child: ChildProcess, commands: Writable, answers: Readable, profile: string) {
    this.#child = child;
    this.#commands = commands;
    this.#profile = profile;
    let rest = '';
    answers.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\0');
      rest = parts.pop() ?? '';
      for (const part of parts) this.#take(JSON.parse(part) as Answer);
    });
  }

  /** Starts it in a network namespace, with a page of the width of a desk. */
  static async start(place: Place): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'fanway-browser-'));
    const child = place.spawn(
      browserProgram(),
      [
        ...['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'],
        ...['--no-first-run', '--disable-sync', '--disable-background-networking', '--mute-audio'],
        ...['--disable-component-update', '--disable-extensions', '--no-proxy-server'],
        ...['--disable-dev-shm-usage', `--user-data-dir=${profile}`, 'about:blank'],
      ],
      // What it leaves lying about lies in its profile.
      {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
        env: { ...process.env, TMPDIR: profile },
      },
    );
    const [, , , commands, answers] = child.stdio;
    const browser = new Browser(child, commands as Writable, answers as Readable, profile);
    const targets = await browser.#send('Target.getTargets', {});
    const infos = at(targets, 'targetInfos');
    const page = Array.isArray(infos) ? infos.find((one) => at(one, 'type') === 'page') : undefined;
    const attached = await browser.#send('Target.attachToTarget', {
      targetId: at(page, 'targetId'),
      flatten: true,
    });
    browser.#session = String(at(attached, 'sessionId'));
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) {
      await browser.send(`${domain}.enable`);
    }
    await browser.size(1280, 900);
    return browser;
  }

  #take({ id, method, params, ...answer }: Answer): void {
    if (id !== undefined) {
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    }
    const url = at(params, 'request', 'url');
    if (method === 'Network.requestWillBeSent') this.requests.push(String(url));
    if (method === 'Log.entryAdded') this.complaints.push(String(at(params, 'entry', 'text')));
    if (method === 'Runtime.exceptionThrown') {
      const details = at(params, 'exceptionDetails');
      this.complaints.push(String(at(details, 'exception', 'description') ?? at(details, 'text')));
    }
  }

  #send(method: string, params: object): Promise<unknown> {
    const id = ++this.#number;
    const session = this.#session === '' ? {} : { sessionId: this.#session };
    this.#commands.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), ANSWER_MS);
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${JSON.stringify(error)}`));
      });
    });
  }

  /** One command of the protocol to the page. */
  send(method: string, params: object = {}): Promise<unknown> {
    return this.#send(method, params);
  }

  async open(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
  }

  /** What an expression is in the page; it is made from plain values. @throws Error of the page */
  async evaluate(expression: string): Promise<unknown> {
    const answer = await this.send('Runtime.evaluate', {
      ...{ expression, returnByValue: true, awaitPromise: true },
    });
    const failed = at(answer, 'exceptionDetails');
    if (failed !== undefined) throw new Error(`${expression}: ${JSON.stringify(failed)}`);
    return at(answer, 'result', 'value');
  }

  /** The text of an element, '' when it is not there or not shown. */
  async text(selector: string): Promise<string> {
    const found = `document.querySelector(${JSON.stringify(selector)})`;
    return String(await this.evaluate(`${found}?.checkVisibility() ? ${found}.innerText : ''`));
  }

  /** Waits until a text is in an element. */
  async sees(selector: string, pattern: RegExp): Promise<string> {
    return until(`${selector} says ${pattern}`, 20_000, async () => {
      const text = await this.text(selector);
      return pattern.test(text) ? text : undefined;
    });
  }

  /** A click with the mouse, in the middle of an element. */
  async click(selector: string): Promise<void> {
    const box = await this.evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: 'center' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    const point = { x: at(box, 'x'), y: at(box, 'y'), button: 'left', clickCount: 1 };
    await this.send('Input.dispatchMouseEvent', { type: 'mousePressed', ...point });
    await this.send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...point });
  }

  /** Presses a key: `Tab`, `Enter`, `ArrowRight`, or a letter. */
  async press(key: string): Promise<void> {
    const codes: Record<string, number> = {
      ...{ Tab: 9, Enter: 13, ArrowLeft: 37, ArrowRight: 39, Home: 36, End: 35 },
    };
    const code = codes[key] ?? key.charCodeAt(0);
    const text = key === 'Enter' ? '\r' : key.length === 1 ? key : undefined;
    const event = { key, code: key, windowsVirtualKeyCode: code, ...(text && { text }) };
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async type(text: string): Promise<void> {
    await this.send('Input.insertText', { text });
  }

  /** The size of the window, CSS pixels. */
  async size(width: number, height: number, mobile = false): Promise<void> {
    const metrics = { width, height, mobile, deviceScaleFactor: mobile ? 2 : 1 };
    await this.send('Emulation.setDeviceMetricsOverride', metrics);
  }

  async scheme(scheme: 'light' | 'dark'): Promise<void> {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.send('Emulation.setEmulatedMedia', { features });
  }

  /** Writes the whole page as a picture into the folder of FANWAY_TEST_PICTURES, where that is set. */
  async picture(name: string): Promise<void> {
    const folder = process.env['FANWAY_TEST_PICTURES'];
    if (folder === undefined) return;
    const shot = await this.send('Page.captureScreenshot', { captureBeyondViewport: true });
    writeFileSync(join(folder, `${name}.png`), Buffer.from(String(at(shot, 'data')), 'base64'));
  }

  /** Ends it, and removes what it wrote. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    else return;
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
