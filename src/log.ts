/**
 * The log: one line per event on stderr, so that stdout stays for results. A cause that repeats
 * may write ten lines a second; what was left out is said once afterwards.
 * @module
 */

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A log line a second from one cause beyond this is counted, not written. */
export const LOG_LINES_PER_SECOND_MAX = 10;
/** Causes remembered for the rate limit; beyond it the oldest is forgotten. */
const LOG_CAUSES_MAX = 256;

export type Log = {
  error(cause: string, message: string): void;
  warn(cause: string, message: string): void;
  info(cause: string, message: string): void;
  debug(cause: string, message: string): void;
};

export type LogOptions = {
  /** Least important level that is written; a function is asked for each line. */
  level?: LogLevel | (() => LogLevel);
  /** Takes one finished line with its newline; stderr by default. */
  write?: (line: string) => void;
  /** Milliseconds, monotonic or not; for tests. */
  now?: () => number;
  /** Prefix each line with an ISO time (the supervised router has no journal to do so). */
  timestamps?: boolean;
};

type Window = { startMs: number; lines: number; dropped: number };

/**
 * A text as one line that does nothing to a terminal: control characters, and those that turn the
 * direction of writing or end a line in Unicode, would let a hostile name forge lines.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
}

/**
 * Makes a log. `cause` is a short stable word (`underlay`, `journal`) that the rate limit counts
 * by; the message is a sentence.
 */
export function createLog(options: LogOptions = {}): Log {
  const { level: threshold = 'info' } = options;
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const now = options.now ?? Date.now;
  const windows = new Map<string, Window>();

  function emit(level: LogLevel, cause: string, message: string): void {
    const least = typeof threshold === 'function' ? threshold() : threshold;
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(least)) return;
    const time = now();
    let window = windows.get(cause);
    if (window === undefined || time - window.startMs >= 1000 || time < window.startMs) {
      const dropped = window?.dropped ?? 0;
      windows.delete(cause);
      if (windows.size >= LOG_CAUSES_MAX) {
        const oldest = windows.keys().next().value;
        if (oldest !== undefined) windows.delete(oldest);
      }
      window = { startMs: time, lines: 0, dropped: 0 };
      windows.set(cause, window);
      if (dropped > 0) write(format(level, cause, `${dropped} more lines like this were left out`));
    }
    window.lines++;
    if (window.lines > LOG_LINES_PER_SECOND_MAX) {
      window.dropped++;
      return;
    }
    write(format(level, cause, message));
  }

  function format(level: LogLevel, cause: string, message: string): string {
    const stamp = options.timestamps === true ? `${new Date(now()).toISOString()} ` : '';
    return `${stamp}fanway: ${level}: ${cause}: ${printable(message)}\n`;
  }

  return {
    error: (cause, message) => emit('error', cause, message),
    warn: (cause, message) => emit('warn', cause, message),
    info: (cause, message) => emit('info', cause, message),
    debug: (cause, message) => emit('debug', cause, message),
  };
}

/** Says nothing; for tests and for code that reports by other means. */
export const silentLog: Log = { error() {}, warn() {}, info() {}, debug() {} };
