/**
 * The page: asks its router every other second, and at once when the stream of events tells something.
 * While nobody looks it asks nothing. What it cannot reach it says, and tries again.
 * @module
 */
import type { RouterEvent } from '../api/events.ts';
import { type MemberJson, membersCall } from '../api/members.ts';
import { type RouterStatus, statusCall } from '../api/status.ts';
import { messageOf } from '../errors.ts';
import { Client, RouterError } from './client.ts';
import { part, say } from './dom.ts';
import { EntriesView } from './entries.ts';
import { HostTable, showDetail } from './hosts.ts';
import { LinkList } from './links.ts';
import { addLine, eventSentence } from './log.ts';
import { HostMap } from './map.ts';
import { startSearch } from './search.ts';
import { TroubleList, troublesOf } from './trouble.ts';
import { clockText } from './words.ts';

const ASK_MS = 2000;
/** Events come in bursts. */
const SETTLE_MS = 150;
const AGAIN_MS = 2000;

class Page {
  readonly #client: Client;
  readonly #map: HostMap;
  readonly #hosts: HostTable;
  readonly #entries: EntriesView;
  readonly #links = new LinkList();
  readonly #troubles = new TroubleList();
  #members: readonly MemberJson[] = [];
  #chosen = '';
  #entriesHash = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = 0;
  #isAsking = false;
  #isOver = false;
  #seenAt: Date | undefined;

  constructor(token: string) {
    this.#client = new Client(token);
    const choose = (id: string): void => this.#choose(id);
    this.#map = new HostMap(part('map', SVGSVGElement), choose);
    this.#hosts = new HostTable(choose);
    this.#entries = new EntriesView(this.#client);
    startSearch(this.#client, (id) => {
      this.#chosen = '';
      this.#choose(id);
      part('map-card', HTMLElement).scrollIntoView({ block: 'nearest' });
    });
  }

  start(): void {
    document.addEventListener('visibilitychange', () => this.#soon(0));
    this.#soon(0);
    void this.#listen();
  }

  /** Chooses a host, or lets go of the one that was chosen. */
  #choose(id: string): void {
    this.#chosen = this.#chosen === id ? '' : id;
    this.#showMembers();
  }

  #showMembers(): void {
    this.#map.show(this.#members, this.#chosen);
    this.#hosts.show(this.#members, this.#chosen);
    showDetail(this.#members.find(({ id }) => id === this.#chosen));
  }

  /** Asks after this long, or when it was going to, if that is sooner: many events put nothing off. */
  #soon(ms: number): void {
    if (this.#isOver || document.hidden) return;
    const dueMs = performance.now() + ms;
    if (this.#timer !== undefined && this.#dueMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#ask();
    }, ms);
  }

  async #ask(): Promise<void> {
    // The one that is under way asks again.
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const [status, members] = await Promise.all([
        this.#client.ask(statusCall),
        this.#client.ask(membersCall),
      ]);
      this.#show(status, members);
      // Moved entries come with events; this is for those that came while nobody listened.
      const hash = `${status.gossip?.hash} ${status.table.entries}`;
      if (hash !== this.#entriesHash) await this.#entries.refresh();
      this.#entriesHash = hash;
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isAsking = false;
      this.#soon(ASK_MS);
    }
  }

  #show(status: RouterStatus, members: readonly MemberJson[]): void {
    this.#seenAt = new Date();
    part('alarm', HTMLElement).hidden = true;
    document.querySelector('main')?.classList.remove('old');
    this.#members = members;
    this.#showMembers();
    this.#links.show(status);
    this.#troubles.show(troublesOf(status, members));
    const name = status.gossip?.name ?? members.find(({ self }) => self)?.name ?? '';
    say(part('here', HTMLElement), name === '' ? '' : `on ${name}`);
    document.title = name === '' ? 'fanway' : `${name} · fanway`;
    say(
      part('foot', HTMLElement),
      `fanway ${status.version}, pid ${status.pid}, run directory ${status.runDirectory}`,
    );
  }

  #failed(error: unknown): void {
    const alarm = part('alarm', HTMLElement);
    const isRefused = error instanceof RouterError && error.refused;
    const seen =
      this.#seenAt === undefined ? '' : ` What is shown is from ${clockText(this.#seenAt)}.`;
    const isGone = error instanceof TypeError;
    const what = isRefused
      ? 'This address is no longer good: fanway web prints a new one.'
      : isGone
        ? `The router does not answer: it has ended, or fanway web --off ended its page.${seen} Trying again.`
        : `The router's answer could not be read: ${messageOf(error)}.${seen}`;
    say(alarm, what);
    alarm.hidden = false;
    document.querySelector('main')?.classList.add('old');
    const pill = part('state', HTMLElement);
    pill.className = 'pill bad';
    say(pill, 'not connected');
    if (isRefused) this.#isOver = true;
  }

  async #listen(): Promise<void> {
    while (!this.#isOver) {
      try {
        const begun = (): void => this.#soon(0);
        await this.#client.follow(
          begun,
          (event) => this.#take(event),
          new AbortController().signal,
        );
      } catch {
        // The next call says what is wrong.
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  #take(event: RouterEvent): void {
    addLine(eventSentence(event));
    if (event.kind === 'entry') this.#entriesHash = '';
    this.#soon(SETTLE_MS);
  }
}

const token = location.hash.slice(1);
if (token === '') {
  const alarm = part('alarm', HTMLElement);
  say(
    alarm,
    'This address has no token: open the one that fanway web printed, with all that is after the #.',
  );
  alarm.hidden = false;
} else {
  new Page(token).start();
}
