/**
 * A data process whose control died, and the next control that asks it for what it holds.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  Inheritance,
  nameHandover,
  openHandover,
} from '../../src/control/plane/process/handover.ts';
import { Handover, messagesOf } from '../../src/dataplane/handover.ts';
import { createEventFd } from '../../src/sys/libc/memory.ts';
import { closeDescriptor } from '../../src/sys/sockets/local-sockets.ts';
import type { LinkChange } from '../../src/table/links/link-change.ts';
import { sleep } from '../support/patience.ts';

const PID = 4242;
const open = (): number => readdirSync('/proc/self/fd').length;

/** An orphan that serves whoever asks, as its loop would. */
class Orphan {
  readonly directory = mkdtempSync(join(tmpdir(), 'fanway-handover-'));
  readonly polled = new Set<number>();
  readonly #socket = openHandover();
  readonly #tables = createEventFd();
  readonly handover = new Handover(this.#socket, this.#tables);
  readonly holding: Pick<LinkChange, 'endpoints' | 'links'>;

  constructor(t: Test, endpoints: number, links: number) {
    t.equal(nameHandover(this.#socket, this.directory, PID), '');
    this.holding = {
      endpoints: Array.from({ length: endpoints }, (_, index) => {
        const sockets = Array.from({ length: 17 }, createEventFd);
        return { index, incarnation: 7, sockets, probe: index === 0 ? -1 : createEventFd() };
      }),
      links: Array.from({ length: links }, (_, id) => {
        return { id, incarnation: id + 1, device: createEventFd() };
      }),
    };
    t.teardown(() => {
      const { endpoints, links } = this.holding;
      const sockets = endpoints.flatMap(({ sockets, probe }) => [...sockets, probe]);
      const devices = links.map(({ device }) => device);
      for (const fd of [this.#socket, this.#tables, ...sockets, ...devices]) {
        if (fd >= 0) closeDescriptor(fd);
      }
      rmSync(this.directory, { recursive: true });
    });
  }

  serve(): void {
    const poll = {
      add: (_role: number, _owner: number, fd: number) => void this.polled.add(fd),
      remove: (fd: number) => void this.polled.delete(fd),
    };
    this.handover.serve(this.holding, poll, 6);
  }

  async asked(): Promise<Inheritance | undefined> {
    const asked = Inheritance.ask(this.directory, PID);
    this.serve();
    return asked;
  }
}

t.test('all descriptors come, and the turn passes at the word', async (t) => {
  const orphan = new Orphan(t, 3, 130);
  const before = open();
  const left = await orphan.asked();
  t.equal(orphan.polled.size, 1);
  t.same(
    left?.links.map(({ id, incarnation }) => [id, incarnation]),
    orphan.holding.links.map(({ id, incarnation }) => [id, incarnation]),
  );
  t.match(left?.endpoints, [{ probe: -1 }, { probe: Number }, { probe: Number }]);
  t.equal(new Set(left?.descriptors).size, 3 * 17 + 2 + 130, 'each a descriptor of its own');
  t.equal(orphan.handover.isOver, false);
  left?.end();
  orphan.serve();
  t.equal(orphan.handover.isOver, true);
  for (const fd of left?.descriptors ?? []) closeDescriptor(fd);
  left?.close();
  t.equal(open(), before + 1, 'nothing stays open but the orphan’s end');
});

t.test('a successor that dies too is forgotten; the next one gets the same', async (t) => {
  const orphan = new Orphan(t, 1, 1);
  const before = open();
  for (let round = 0; round < 2; round++) {
    const left = await orphan.asked();
    t.equal(left?.descriptors.length, 18);
    for (const fd of left?.descriptors ?? []) closeDescriptor(fd);
    left?.close();
    orphan.serve();
    t.equal(orphan.polled.size, 0);
    t.equal(orphan.handover.isOver, false);
    t.equal(open(), before);
  }
});

t.test('where nobody answers there is nothing', async (t) => {
  t.equal(await Inheritance.ask('/nonexistent', PID), undefined);
  const orphan = new Orphan(t, 1, 1);
  const before = open();
  const asked = Inheritance.ask(orphan.directory, PID);
  await sleep(1);
  t.equal(await asked, undefined, 'it does not look');
  // What was sent waits in its socket.
  orphan.serve();
  t.equal(orphan.polled.size, 0);
  t.equal(open(), before);
});

t.test('no message has more descriptors than one can carry', async (t) => {
  const links = Array.from({ length: 200 }, (_, id) => ({ id, incarnation: 1, device: id }));
  const messages = messagesOf({ endpoints: [], links });
  t.same(
    messages.map((message) => [message.sequence, message.links.length]),
    [
      [3, 64],
      [2, 64],
      [1, 64],
      [0, 8],
    ],
  );
  t.match(messagesOf({ endpoints: [], links: [] }), [{ sequence: 0, links: [] }]);
});
