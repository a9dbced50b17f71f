/**
 * Redistribution: a gateway tells BGP what gossip says of networks, and gossip what BGP says, each with
 * the sequence number and the tunnel endpoint that it has. Packets go straight between the endpoints.
 *
 * No loop comes of it, by three rules:
 * 1. Only what counts is told on, and only to the side that does not have it: the best claim of gossip
 *    to BGP, the best claim of BGP to gossip.
 * 2. What came to gossip through a gateway is marked so, and goes to BGP through nobody.
 * 3. Nothing is told to gossip of an endpoint that gossips: it speaks for itself.
 *
 * Gossip has no word for an endpoint that wants another VNI than the network's: of that its members hear
 * nothing, rather than send what arrives nowhere.
 * @module
 */
import type { Best, EntryId, RibChange } from '../../rib/entry.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { RelaySpeaker } from '../networks/local/own-entries.ts';
import type { NetworkSpec } from '../store/link-spec.ts';
import type { SpeakerFollower } from './bgp/followers.ts';

export type RedistributionOptions = {
  entries: Pick<EntryService, 'listen' | 'entries' | 'get'>;
  gossip: RelaySpeaker;
  bgp: RelaySpeaker;
  networks: () => readonly NetworkSpec[];
  isOn: () => boolean;
};

export class Redistribution implements SpeakerFollower {
  readonly #options: RedistributionOptions;
  #isOn = false;

  constructor(options: RedistributionOptions) {
    this.#options = options;
    options.entries.listen((changes) => this.#entriesChanged(changes));
  }

  follow(): void {
    this.refresh();
  }

  changed(): void {
    // What BGP says counts once the rib has it.
  }

  /** Whether it is wanted may have changed. */
  refresh(): void {
    const isOn = this.#options.isOn();
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    for (const spec of this.#options.networks()) this.#all(spec);
  }

  #all(spec: NetworkSpec): void {
    for (const kind of ['mac', 'mac+ip'] as const) {
      for (const { id, best } of this.#options.entries.entries(spec.name, kind)) {
        this.#tell(spec, id, best);
      }
    }
  }

  #entriesChanged(changes: readonly RibChange[]): void {
    this.refresh();
    if (!this.#isOn) return;
    const specs = new Map(this.#options.networks().map((spec) => [spec.name, spec]));
    for (const { id, before, after } of changes) {
      const spec = specs.get(id.link);
      if (spec === undefined) continue;
      if (id.kind === 'mac' || id.kind === 'mac+ip') this.#tell(spec, id, after);
      // An endpoint that begins to gossip, or ends: what it has is another's to tell.
      else if (id.kind === 'vtep' && isMember(before) !== isMember(after)) this.#all(spec);
    }
  }

  #tell(spec: NetworkSpec, id: EntryId, best: Best | undefined): void {
    const { gossip, bgp, entries } = this.#options;
    const told = this.#isOn && best?.isRelayed !== true ? best : undefined;
    bgp.relay(spec, id, told?.source === 'gossip' ? told : undefined);
    const vtep = told && entries.get({ link: spec.name, kind: 'vtep', member: told.peer });
    gossip.relay(
      spec,
      id,
      told?.source === 'bgp' && told.label === undefined && !isMember(vtep) ? told : undefined,
    );
  }
}

/** Whether an endpoint is that of a member of gossip itself. */
function isMember(vtep: Best | undefined): boolean {
  return vtep?.source === 'gossip' && vtep.isRelayed !== true;
}
