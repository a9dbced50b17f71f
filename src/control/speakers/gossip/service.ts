/**
 * Gossip in the life of a router: joined, gone on with after a restart, extended, left.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import type { Placed } from '../../../api/announce.ts';
import type { Taken } from '../../../api/gossip.ts';
import { extendedSettings, type GossipSettings, gossipSettings } from '../../../config/gossip.ts';
import { messageOf, refusedError } from '../../../errors.ts';
import type { EntryEvent, MemberChange, PeerRecord } from '../../../gossip/base/api.ts';
import { Keyring } from '../../../gossip/base/keyring.ts';
import type { GossipNode } from '../../../gossip/node.ts';
import type { Log } from '../../../log.ts';
import type { UnderlayPrefix } from '../../../net/underlay-address.ts';
import { Again } from '../../plane/process/again.ts';
import { RecordStore } from '../../store/gossip-record.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import { Announced, placed } from './announced.ts';
import { EventRing, logMember } from './events.ts';
import { GossipFeed } from './feed.ts';
import { allFollowers, type NodeFollower } from './followers.ts';
import { KeyFile } from './key-file.ts';
import { currentRecord, warnOfLeftOut } from './peer-record.ts';
import type { GossipServiceOptions } from './service-options.ts';
import { Losses, requireFree } from './taken.ts';
import { NodeHost } from './transport/node-host.ts';
import { keyPathIn, StateDirectory } from './transport/state-directory.ts';

const PLAINTEXT = 'PLAINTEXT: whoever reaches the port is a member';
/** All that there is while the node runs. */
type Running = { host: NodeHost; state: StateDirectory; keys: KeyFile | undefined };

export class GossipService {
  readonly events = new EventRing();
  readonly #options: GossipServiceOptions;
  readonly #log: Log;
  readonly #store: RecordStore;
  readonly #feed: Required<NodeFollower>;
  readonly #losses: Losses;
  #settings: GossipSettings | undefined;
  #announced = new Announced();
  #running: Running | undefined;
  #record: PeerRecord | undefined;
  #reason = '';
  readonly #again = new Again();
  /** The tail of the queue of operations: each waits for the one before it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: GossipServiceOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#store = new RecordStore(options.run);
    const feed = new GossipFeed(options.entries, options.specs);
    this.#feed = allFollowers([feed, ...(options.followers ?? [])]);
    this.#losses = new Losses({
      ...{ log: options.log, specs: options.specs },
      self: () => this.host?.id,
      nameOf: (owner) => this.nameOf(owner),
    });
    options.entries.listen((changes) => this.#losses.note(changes));
  }

  #queue<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation, operation);
    this.#last = result.catch(() => undefined);
    return result;
  }
  /** As somebody wants it here, whether it runs just now or not. */
  get settings(): GossipSettings | undefined {
    return this.#settings;
  }
  get host(): NodeHost | undefined {
    return this.#running?.host;
  }
  /** Why it does not run although it should; '' when it runs. */
  get reason(): string {
    return this.#reason;
  }
  get announced(): UnderlayPrefix[] {
    return this.#announced.list();
  }
  /** The links that are up. */
  get specs(): readonly LinkSpec[] {
    return this.#options.specs();
  }
  /** What others have of this host. */
  get taken(): readonly Taken[] {
    return this.#losses.list();
  }
  /** The name of a member, '' where nobody knows it. */
  nameOf(owner: string): string {
    return this.host?.node.table.nameOf(owner) ?? '';
  }

  /** Goes on with what a predecessor that was killed had; nothing of it stops the start. */
  resume(): Promise<void> {
    return this.#queue(async () => {
      const record = this.#store.read(this.#log);
      if (record === undefined) return;
      this.#announced = new Announced(record.announced);
      // Whether and how it runs, the file will say.
      if (this.#options.byFile) return;
      this.#settings = record.settings;
      await this.#try();
    });
  }

  /**
   * Gossip as a configuration file wants it: begun, changed or ended. What keeps it from running
   * becomes its reason, and is tried again.
   */
  configure(settings: GossipSettings | undefined): Promise<void> {
    return this.#queue(async () => {
      const before = this.#settings;
      if (settings === undefined) return void (await this.#leave());
      if (before === undefined || this.#running === undefined) {
        this.#settings = settings;
        this.#saveIfPossible();
        return this.#try();
      }
      const { seeds, advertise } = settings;
      if (!isDeepStrictEqual({ ...before, seeds, advertise }, settings)) {
        this.#log.warn('gossip', 'a setting of [gossip] changed that needs a restart');
      }
      this.#settings = { ...before, seeds, advertise };
      this.#saveIfPossible();
      this.#running.host.setSeeds(seeds);
      await this.#refresh();
    });
  }

  /**
   * Begins, or takes more seeds where it runs already.
   * @param keys the text of a key file; undefined = the keys that are here.
   * @throws FanwayError; nothing is kept then.
   */
  join(given: Partial<GossipSettings>, keys: string | undefined): Promise<'started' | 'extended'> {
    return this.#queue(async () => {
      if (this.#settings !== undefined) {
        await this.#extend(this.#settings, given, keys);
        return 'extended';
      }
      if (this.#options.byFile) {
        throw refusedError(
          'by-file',
          'this router goes by its configuration file: add a [gossip] section, then reload',
        );
      }
      this.#settings = gossipSettings(given);
      try {
        await this.#start(keys);
        this.#save();
      } catch (error) {
        await this.#close();
        this.#settings = undefined;
        throw error;
      }
      return 'started';
    });
  }

  async #extend(
    now: GossipSettings,
    given: Partial<GossipSettings>,
    keys: string | undefined,
  ): Promise<void> {
    const settings = extendedSettings(now, given);
    if (keys !== undefined && this.#running === undefined) await this.#addKeysStopped(keys);
    else if (keys !== undefined) this.#keyFile().requireAll(Keyring.parse(keys, 'the key file'));
    this.#settings = settings;
    this.#save();
    this.#running?.host.setSeeds(settings.seeds);
  }

  #save(): void {
    if (this.#settings === undefined) this.#store.remove();
    else this.#store.write({ settings: this.#settings, announced: this.#announced.list() });
  }

  #saveIfPossible(): void {
    try {
      this.#save();
    } catch (error) {
      // A full disk ends nothing.
      this.#log.error('gossip', `a restart would not know: ${messageOf(error)}`);
    }
  }

  /** Starts, or keeps the reason why not and tries again later. */
  async #try(): Promise<void> {
    this.#again.stop();
    if (this.#settings === undefined || this.#running !== undefined) return;
    try {
      await this.#start(undefined);
      this.#again.worked();
    } catch (error) {
      await this.#close();
      const reason = messageOf(error);
      if (reason !== this.#reason) this.#log.error('gossip', `stopped: ${reason}`);
      this.#reason = reason;
      this.#again.later(() => void this.#queue(() => this.#try()));
    }
  }

  /** Where the identity of this host is. */
  stateDirectory(settings = this.#settings): string {
    return settings?.stateDirectory ?? this.#options.stateDirectory;
  }

  async #start(newKeys: string | undefined): Promise<void> {
    const settings = this.#settings;
    if (settings === undefined) return;
    const state = StateDirectory.open(this.stateDirectory(settings));
    try {
      const keys = settings.plaintext
        ? undefined
        : KeyFile.open(settings.keyFile ?? keyPathIn(state.path), newKeys);
      this.#record = await currentRecord(settings, this.#options);
      const host = await NodeHost.open({
        ...{ settings, state, log: this.#log, answer: this.#options.answer },
        keyring: keys?.keyring,
        record: this.#record,
        begin: (node) => this.#feed.follow(node),
        events: {
          member: (change) => this.#memberChanged(change),
          entry: (change) => this.#entryChanged(change),
          record: (owner) => this.#feed.recordChanged(owner),
          ...{ sought: this.#feed.sought, witness: this.#feed.witness },
          conflict: (change) => this.events.conflict(change, this.#log),
          log: (line) => this.#log.info('gossip', line),
        },
      });
      this.#running = { host, state, keys };
    } catch (error) {
      state.close();
      throw error;
    }
    const { host } = this.#running;
    this.#reason = '';
    if (settings.plaintext) this.#log.warn('gossip', PLAINTEXT);
    this.#log.info('gossip', `up as ${host.id}, epoch ${host.epoch}, port ${settings.port}`);
    this.#announced.tell(host.node, this.specs);
  }

  /** Lets go of everything; the settings stay. */
  async #close(options: { leave?: boolean } = {}): Promise<void> {
    this.#again.stop();
    const running = this.#running;
    this.#running = undefined;
    this.#announced.untell();
    this.#feed.follow(undefined);
    if (running === undefined) return;
    if (options.leave === true) await running.host.leave();
    else await running.host.close();
    running.state.close();
  }

  /** Leaves for good. @returns false when there was nothing to leave. */
  leave(): Promise<boolean> {
    return this.#queue(() => this.#leave());
  }

  async #leave(): Promise<boolean> {
    const wasWanted = this.#settings !== undefined;
    this.#settings = undefined;
    this.#announced = new Announced();
    this.#reason = '';
    this.#saveIfPossible();
    await this.#close({ leave: true });
    if (wasWanted) this.#log.info('gossip', 'left');
    return wasWanted;
  }

  /** Leaves because the router ends. */
  async stop(): Promise<void> {
    await this.leave();
    this.#feed.close();
  }

  /** Links or addresses of this host may be others: tells the members. Never throws. */
  refresh(): Promise<void> {
    return this.#queue(() => this.#refresh()).catch((error: unknown) => {
      this.#log.error('gossip', messageOf(error));
    });
  }

  async #refresh(): Promise<void> {
    const settings = this.#settings;
    const running = this.#running;
    if (settings === undefined || running === undefined) return;
    const record = await currentRecord(settings, this.#options);
    if (!isDeepStrictEqual(record, this.#record)) {
      warnOfLeftOut(this.specs, record, this.#log);
      this.#record = record;
      running.host.node.updatePeer(record);
    }
    this.#announced.tell(running.host.node, this.specs);
    this.#feed.refresh();
  }

  /**
   * @param options.force take also what belongs to a host that lives.
   * @throws FanwayError when gossip does not run, or a prefix is in no fan or belongs to another
   *   host; then none is announced.
   */
  announce(
    prefixes: readonly UnderlayPrefix[],
    options: { force?: boolean } = {},
  ): Promise<Placed[]> {
    return this.#changeAnnounced(prefixes, (node, specs) => {
      const from = requireFree(prefixes, specs, node.members(), options.force === true);
      this.#announced.add(prefixes);
      for (const [text, name] of from) this.#log.warn('taken', `${text} is taken from ${name}`);
      return from;
    });
  }

  /** @throws FanwayError when one was not announced here; then none is withdrawn. */
  withdraw(prefixes: readonly UnderlayPrefix[]): Promise<Placed[]> {
    return this.#changeAnnounced(prefixes, () => {
      this.#announced.remove(prefixes);
      return new Map();
    });
  }

  /** `change` returns whom each prefix was taken from, by its text. */
  #changeAnnounced(
    prefixes: readonly UnderlayPrefix[],
    change: (node: GossipNode, specs: readonly LinkSpec[]) => ReadonlyMap<string, string>,
  ): Promise<Placed[]> {
    return this.#queue(async () => {
      const [{ node }, specs] = [this.#require().host, this.specs];
      const from = change(node, specs);
      this.#save();
      this.#announced.tell(node, specs);
      return prefixes.map((prefix) => placed(prefix, specs, from));
    });
  }

  #require(): Running {
    if (this.#running !== undefined) return this.#running;
    const why = this.#reason === '' ? 'fanway join begins it' : this.#reason;
    throw refusedError('no-gossip', `gossip does not run here: ${why}`);
  }

  #keyFile(): KeyFile {
    const { keys } = this.#require();
    if (keys !== undefined) return keys;
    throw refusedError('plaintext', 'gossip is in plaintext here: there are no keys to change');
  }

  /** @throws FanwayError `no-gossip` when it does not run here. */
  mustRun(): NodeHost {
    return this.#require().host;
  }

  keys(): { id: string; inUse: boolean }[] {
    return this.#running?.keys?.list() ?? [];
  }

  /** Changes the keys, durably, then in the running node. @throws FanwayError; nothing changed. */
  changeKeys(work: (keyring: Keyring) => void): Promise<void> {
    return this.#queue(async () => {
      this.#keyFile().change(work);
      this.#running?.host.keysChanged();
    });
  }

  /** Accepts the keys of a file's text; the first ones there are begin what waited for a key. */
  addKeys(text: string): Promise<void> {
    const { keys } = Keyring.parse(text, 'the key file');
    if (this.#running !== undefined || this.#settings === undefined) {
      return this.changeKeys((keyring) => {
        for (const { bytes } of keys) keyring.add(bytes);
      });
    }
    return this.#queue(() => this.#addKeysStopped(text));
  }

  async #addKeysStopped(text: string): Promise<void> {
    const settings = this.#settings;
    if (settings === undefined || settings.plaintext) return;
    KeyFile.extend(settings.keyFile ?? keyPathIn(this.stateDirectory(settings)), text);
    await this.#try();
  }

  #memberChanged(change: MemberChange): void {
    this.events.add(change);
    logMember(change, this.host?.node.members() ?? [], this.#log);
  }

  #entryChanged(change: EntryEvent): void {
    this.#feed.entryChanged(change);
    // To announce again what has moved on, after a restart say, would take it back.
    const text = this.#announced.movedOn(change, this.#running?.host.id);
    if (text === undefined || change.type !== 'set') return;
    this.#log.info('gossip', `${text} is announced by ${change.owner} now: given up here`);
    this.#saveIfPossible();
  }
}
