/**
 * /etc/network/fan: one fan a line, `#` comments, in either of the two historical formats.
 * @module
 */
import type { FanRequest } from './request.ts';
import { parseFanWords } from './words.ts';

export const FAN_FILE_DEFAULT = '/etc/network/fan';
/** Fans in one file; more than a host can have links for. */
export const FAN_FILE_LINES_MAX = 1024;

export type FileProblem = { line: number; message: string };

/** Every fan of the file that is not `off`, and every problem with its line (from 1). */
export function parseFanFile(text: string): {
  fans: { line: number; request: FanRequest }[];
  problems: FileProblem[];
} {
  const fans: { line: number; request: FanRequest }[] = [];
  const problems: FileProblem[] = [];
  const lines = text.split('\n');
  if (lines.length > FAN_FILE_LINES_MAX) {
    return { fans, problems: [{ line: 1, message: `more than ${FAN_FILE_LINES_MAX} lines` }] };
  }
  for (const [index, content] of lines.entries()) {
    const line = index + 1;
    const words = content.replace(/#.*$/, '').trim().split(/\s+/).filter(Boolean);
    if (words.length === 0) continue;
    const { request, problems: found } = parseFanWords(words, 'either');
    for (const message of found) problems.push({ line, message });
    if (request !== undefined) fans.push({ line, request: { ...request, auto: true } });
  }
  return { fans, problems };
}
