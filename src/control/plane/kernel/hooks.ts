/**
 * Where the programs of a link hang on its device, so that they cannot be lost without a trace: those that
 * forward where no command of tc reaches them, and behind them programs that let nothing pass. Before
 * Linux 6.6 both are filters of tc.
 * @module
 */
import { loadClassifier, programId } from '../../../sys/bpf/bpf.ts';
import { attachTcx, tcxPrograms } from '../../../sys/bpf/tcx.ts';
import { libc } from '../../../sys/libc/libc.ts';
import type { Netlink } from '../../../sys/netlink/netlink.ts';
import { FilterPriority, type Hook } from '../../../sys/netlink/tc.ts';

const HOOKS = ['egress', 'ingress'] as const;

/** The code of each program, as the kernel takes it. */
export type Code = Record<Hook, Uint8Array<ArrayBuffer>>;
type Ids = Record<Hook, number>;
/** Programs with a descriptor of the types of the functions that they call, absent where they call none. */
export type Programs = { code: Code; types?: number | undefined };

/** A program of a link: the one that forwards, or the one that closes. */
type Role = 'forward' | 'closed';
const NAMES: Record<Role, string> = { forward: 'fanway', closed: 'fanway_shut' };

export class LinkHooks {
  readonly #netlink: Netlink;
  readonly #index: number;
  readonly #ids: Record<Role, Ids> = {
    forward: { egress: 0, ingress: 0 },
    closed: { egress: 0, ingress: 0 },
  };

  constructor(netlink: Netlink, index: number) {
    this.#netlink = netlink;
    this.#index = index;
  }

  /** Number of the program that forwards at a hook of a device, 0 = none. */
  static async forwarding(netlink: Netlink, index: number, hook: Hook): Promise<number> {
    const [first] = tcxPrograms(index, hook) ?? [];
    return first ?? netlink.attachedProgram(index, hook, FilterPriority.First);
  }

  /**
   * Attaches programs in place of those that are there; no packet passes without any.
   * @throws SystemError, NetlinkError
   */
  async attach(forward: Programs, closed: Code): Promise<void> {
    await this.#netlink.addHooks(this.#index);
    for (const hook of HOOKS) {
      const isTcx = tcxPrograms(this.#index, hook) !== undefined;
      await this.#load('forward', hook, forward, (fd, id, name) => {
        if (isTcx) return attachTcx(this.#index, hook, fd, id);
        const priority = FilterPriority.First;
        return this.#netlink.attachProgram(this.#index, hook, { fd, name, priority });
      });
      await this.#load('closed', hook, { code: closed }, (fd, _, name) => {
        // Of a build before this one: the same place has the program that forwards.
        const priority = isTcx ? FilterPriority.First : FilterPriority.Second;
        return this.#netlink.attachProgram(this.#index, hook, { fd, name, priority });
      });
    }
  }

  async #load(
    role: Role,
    hook: Hook,
    { code, types }: Programs,
    attach: (fd: number, id: number, name: string) => void | Promise<void>,
  ): Promise<void> {
    const name = `${NAMES[role]}_${hook}`;
    const fd = loadClassifier(name, code[hook], types === undefined ? 'mit' : 'gpl', types);
    try {
      const id = programId(fd);
      await attach(fd, id, name);
      this.#ids[role][hook] = id;
    } finally {
      libc.close(fd);
    }
  }

  /** Which of the programs somebody took away, a line for each. */
  async missing(device: string): Promise<string[]> {
    const lost: string[] = [];
    for (const hook of HOOKS) {
      const tcx = tcxPrograms(this.#index, hook);
      const filter = (priority: FilterPriority) =>
        this.#netlink.attachedProgram(this.#index, hook, priority);
      // Nobody else's may come before it.
      const forward = tcx === undefined ? await filter(FilterPriority.First) : tcx[0];
      if (forward !== this.#ids.forward[hook]) lost.push(`program at the ${hook} of ${device}`);
      const closed = await filter(tcx === undefined ? FilterPriority.Second : FilterPriority.First);
      if (closed !== this.#ids.closed[hook]) lost.push(`guard at the ${hook} of ${device}`);
    }
    return lost;
  }
}
