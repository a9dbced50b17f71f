/**
 * Command-line options of the traffic programs: `--name value`, each with bounds, all checked
 * before a socket is opened.
 * @module
 */
import { parseIpv4 } from '../../net/ipv4.ts';

/** A wrong or missing option; the message names it and says what would be right. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

type Bounds = { min: number; max: number; default?: number };

/** The options of one program run. Ask for each, then call {@link done}. */
export class Options {
  readonly #values = new Map<string, string>();

  /**
   * @param args what follows the program's name: `--name value` pairs, `--flag` alone.
   * @throws OptionError on anything that is not an option.
   */
  constructor(args: readonly string[]) {
    for (let i = 0; i < args.length; i += 1) {
      const name = args[i] ?? '';
      if (!name.startsWith('--')) throw new OptionError(`unexpected argument: ${name}`);
      const next = args[i + 1];
      const hasValue = next !== undefined && !next.startsWith('--');
      this.#values.set(name.slice(2), hasValue ? next : '');
      if (hasValue) i += 1;
    }
  }

  /** True when the option is there. */
  flag(name: string): boolean {
    return this.#values.delete(name);
  }

  /** A number inside `bounds`, or its default. */
  number(name: string, bounds: Bounds): number {
    const text = this.#values.get(name);
    this.#values.delete(name);
    if (text === undefined) {
      if (bounds.default === undefined) throw new OptionError(`--${name} is missing`);
      return bounds.default;
    }
    const value = text === '' ? Number.NaN : Number(text);
    if (!(value >= bounds.min && value <= bounds.max)) {
      throw new OptionError(`--${name} must be a number from ${bounds.min} to ${bounds.max}`);
    }
    return value;
  }

  /** A whole number inside `bounds`, or its default. */
  integer(name: string, bounds: Bounds): number {
    const value = this.number(name, bounds);
    if (!Number.isInteger(value)) throw new OptionError(`--${name} must be a whole number`);
    return value;
  }

  /** An IPv4 address in host order; 0 when `optional` and absent. */
  address(name: string, optional = false): number {
    const [address = 0] = this.addresses(name, optional);
    return address;
  }

  /** A comma-separated list of IPv4 addresses, host order. */
  addresses(name: string, optional = false): number[] {
    const text = this.#values.get(name);
    this.#values.delete(name);
    if (text === undefined && optional) return [];
    if (text === undefined) throw new OptionError(`--${name} is missing`);
    return text.split(',').map((part) => {
      try {
        return parseIpv4(part);
      } catch {
        throw new OptionError(`--${name}: ${part} is not an IPv4 address`);
      }
    });
  }

  /** A comma-separated list of words; empty when absent. */
  words(name: string): string[] {
    const text = this.#values.get(name);
    this.#values.delete(name);
    return text === undefined || text === '' ? [] : text.split(',');
  }

  /** The device that all goes by, '' when absent. */
  device(): string {
    const [name = ''] = this.words('device');
    return name;
  }

  /** @throws OptionError when an option was given that nobody asked for. */
  done(): void {
    const [name] = this.#values.keys();
    if (name !== undefined) throw new OptionError(`unknown option: --${name}`);
  }
}
