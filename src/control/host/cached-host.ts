/**
 * A host that is asked for its links, addresses and routes once, until something is changed. A
 * look at one link asks a dozen times, a router may have hundreds of links, and containers that come
 * and go cause many looks.
 * @module
 */
import type { Host, Tunnels } from './host.ts';

const LISTS = [
  ...(['links', 'addresses', 'ipv6Addresses', 'ipv6WayOut'] as const),
  ...(['defaultRoutes', 'packetFilter', 'underlay'] as const),
] as const;
/** Questions with an argument: asked each time, but nothing changes by them. */
const QUESTIONS: readonly (keyof Host)[] = [
  'routesMeeting',
  'routesOf',
  'hasRoute',
  'hasOwnMac',
  'addresses6',
  'routes6',
  'hasRoute6',
  'isAnnouncing',
];
/** What only the data processes are told: nothing of the host changes by it. */
const WORDS: readonly (keyof Tunnels)[] = ['updateLink', 'setSuperBytes'];
/** Answers that come at once. */
const AT_ONCE: readonly (keyof Host)[] = ['legacyTables', 'hasNft', 'hasDnsmasq'];
type List = (typeof LISTS)[number];

/** Both ways to change the host, sharing one memory of what was read; good for one operation. */
export function cached(host: Host, tunnels: Tunnels): { host: Host; tunnels: Tunnels } {
  const known = new Map<List, Promise<unknown>>();
  const answers = new Map<string | symbol, unknown>();
  const isList = (key: string | symbol): key is List => LISTS.some((list) => list === key);

  function forget(): void {
    known.clear();
    answers.clear();
  }

  function wrap<T extends object>(target: T): T {
    return new Proxy(target, {
      get(object, key) {
        const method: unknown = Reflect.get(object, key);
        if (typeof method !== 'function') return method;
        if (isList(key)) {
          return () => {
            const answer = known.get(key) ?? Promise.resolve(method.call(object));
            known.set(key, answer);
            return answer;
          };
        }
        if ([...QUESTIONS, ...WORDS].some((name) => name === key)) return method.bind(object);
        if (AT_ONCE.some((name) => name === key)) {
          return () => {
            if (!answers.has(key)) answers.set(key, method.call(object));
            return answers.get(key);
          };
        }
        return (...args: unknown[]) => {
          const result: unknown = method.apply(object, args);
          if (!(result instanceof Promise)) return result;
          // Forgotten before and after: what was read meanwhile may be either state.
          forget();
          return result.finally(forget);
        };
      },
    });
  }

  return { host: wrap(host), tunnels: wrap(tunnels) };
}
