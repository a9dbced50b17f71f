/**
 * A host that is asked for its links, addresses and routes once, and again for what is changed. A look at
 * one link asks a dozen times, a router may have hundreds of links, and containers that come and go cause
 * many looks.
 * @module
 */
import type { Host, Tunnels } from './host.ts';
import { FOREIGN_SYSCTLS, HOST_SYSCTLS, type SnapshotLink } from './snapshot.ts';

const LISTS = [
  ...(['links', 'addresses', 'ipv6Addresses', 'ipv6WayOut'] as const),
  ...(['defaultRoutes', 'packetFilter', 'underlay'] as const),
] as const;
/** Questions with an argument: asked each time, but nothing changes by them. */
const QUESTIONS: readonly (keyof Host)[] = [
  'link',
  'routesMeeting',
  'routesOf',
  'hasRoute',
  'hasOwnMac',
  'addresses6',
  'routes6',
  'hasRoute6',
  'isAnnouncing',
  'isRunning',
  'dhcpRanges',
  'kernelPath',
  'fouPorts',
];
/** What only the data processes are told: nothing of the host changes by it. */
const WORDS: readonly (keyof Tunnels)[] = ['updateLink', 'setSuperBytes', 'missing'];
/** Answers that come at once. */
const AT_ONCE: readonly (keyof Host)[] = ['legacyTables', 'hasNft', 'hasDnsmasq'];
type List = (typeof LISTS)[number];
/** Settings that every look asks for. Those of a device come and go with it, and are not kept. */
const KEPT_SYSCTLS: readonly string[] = [...HOST_SYSCTLS, ...FOREIGN_SYSCTLS];

/** Lists that a change makes old; one that is not here makes all of them old. */
const MADE_OLD: Readonly<Record<string, readonly List[]>> = {
  addAddress: ['addresses'],
  deleteAddress: ['addresses', 'defaultRoutes'],
  addAddress6: ['ipv6Addresses'],
  deleteAddress6: ['ipv6Addresses', 'ipv6WayOut'],
  addRoute: ['defaultRoutes'],
  deleteRoute: ['defaultRoutes'],
  addKernelRoute: ['defaultRoutes'],
  addRoute6: ['ipv6WayOut'],
  deleteRoute6: ['ipv6WayOut'],
  loadRules: ['packetFilter'],
  addOwnMac: [],
  forgetAnswers: [],
  deleteFouPort: [],
  startDhcp: [],
  stopDhcp: [],
} satisfies Partial<Record<keyof Host, readonly List[]>>;

/**
 * The links that a change is about, by name or ifindex: only they are read again. undefined = it is
 * another change.
 */
function linksOf(key: string | symbol, args: readonly unknown[]): (string | number)[] | undefined {
  const [first, second] = args;
  const isRef = typeof first === 'string' || typeof first === 'number';
  if (key === 'createBridge' && isRef) return [first];
  if (key === 'addLink') return [String(Reflect.get(Object(first), 'device'))];
  if (key !== 'setLink' || !isRef) return undefined;
  const { name, up, master }: { name?: unknown; up?: unknown; master?: unknown } = Object(second);
  // What goes down takes addresses and routes along.
  if (up === false || master === 0) return undefined;
  const refs = [typeof name === 'string' ? name : first];
  // A bridge follows its ports in some things.
  if (typeof master === 'string' || typeof master === 'number') refs.push(master);
  return refs;
}

/** `links` with those that `refs` name as they are now. */
async function withAgain(
  host: Host,
  links: SnapshotLink[],
  refs: readonly (string | number)[],
): Promise<SnapshotLink[]> {
  let after = links;
  for (const ref of refs) {
    const now = await host.link(ref);
    after = after.filter(({ index, name }) => index !== (now?.index ?? ref) && name !== ref);
    if (now !== undefined) after.push(now);
  }
  return after;
}

type Method = (...args: unknown[]) => unknown;

function isMethod(value: unknown): value is Method {
  return typeof value === 'function';
}

/** `target` with another method in front of each of its own, made when it is first asked for. */
function fronted<T extends object>(
  target: T,
  inFrontOf: (object: object, key: string | symbol, method: Method) => Method,
): T {
  const fronts = new Map<string | symbol, Method>();
  return new Proxy(target, {
    get(object, key) {
      const known = fronts.get(key);
      if (known !== undefined) return known;
      const method: unknown = Reflect.get(object, key);
      if (!isMethod(method)) return method;
      const front = inFrontOf(object, key, method);
      fronts.set(key, front);
      return front;
    },
  });
}

/** Both ways to change the host, sharing one memory of what was read; good for one operation. */
export function cached(host: Host, tunnels: Tunnels): { host: Host; tunnels: Tunnels } {
  const known = new Map<List, Promise<unknown>>();
  const answers = new Map<string | symbol, unknown>();
  let links: Promise<SnapshotLink[]> | undefined;
  const isList = (key: string | symbol): key is List => LISTS.some((list) => list === key);

  function forget(lists: readonly List[] = LISTS): void {
    for (const list of lists) known.delete(list);
    if (lists.includes('links')) links = undefined;
    answers.clear();
  }

  /** Reads these links again, and leaves the others as they were read. */
  async function follow(refs: readonly (string | number)[]): Promise<void> {
    forget(['ipv6Addresses', 'ipv6WayOut', 'underlay']);
    const before = await links;
    if (before !== undefined) links = Promise.resolve(await withAgain(host, before, refs));
  }

  async function changed<T>(
    key: string | symbol,
    args: readonly unknown[],
    result: Promise<T>,
  ): Promise<T> {
    const refs = linksOf(key, args);
    const lists = typeof key === 'string' ? MADE_OLD[key] : undefined;
    // Forgotten before and after: what was read meanwhile may be either state.
    if (refs === undefined) forget(lists);
    try {
      const value = await result;
      if (refs === undefined) forget(lists);
      else await follow(refs);
      return value;
    } catch (error) {
      forget();
      throw error;
    }
  }

  function askOnce(key: List, ask: () => unknown): unknown {
    const answer = known.get(key) ?? Promise.resolve(ask());
    known.set(key, answer);
    return answer;
  }

  /** What stands for a method of `object`. */
  function inFrontOf(object: object, key: string | symbol, method: Method): Method {
    if (key === 'links') {
      return () => {
        links ??= host.links();
        return links;
      };
    }
    if (isList(key)) return () => askOnce(key, () => method.call(object));
    if ([...QUESTIONS, ...WORDS].some((name) => name === key)) return method.bind(object);
    if (AT_ONCE.some((name) => name === key)) {
      return () => {
        if (!answers.has(key)) answers.set(key, method.call(object));
        return answers.get(key);
      };
    }
    if (key === 'readSysctl') {
      return (name: unknown) => {
        const isKept = KEPT_SYSCTLS.some((one) => one === name);
        if (typeof name !== 'string' || !isKept) return method.call(object, name);
        if (!answers.has(name)) answers.set(name, method.call(object, name));
        return answers.get(name);
      };
    }
    return (...args: unknown[]) => {
      const result: unknown = method.apply(object, args);
      if (result instanceof Promise) return changed(key, args, result);
      answers.clear();
      return result;
    };
  }

  return { host: fronted(host, inFrontOf), tunnels: fronted(tunnels, inFrontOf) };
}
