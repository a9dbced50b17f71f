/**
 * Where the built files lie. Tests, the demo and the control process all start
 * `dist/dataplane.js` and `dist/fanway.js`; none of them may guess the place.
 * @module
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The folder that holds the built programs (`fanway.js`, `dataplane.js`, `packet.wasm`).
 * Found by walking up from the running module, so it works from `dist/` itself, from bundled
 * tests and from an installed package alike.
 * @throws Error when nothing was built yet.
 */
export function distDirectory(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'dataplane.js')) && existsSync(join(folder, 'packet.wasm'))) {
      return folder;
    }
    if (existsSync(join(folder, 'dist', 'dataplane.js'))) return join(folder, 'dist');
    if (folder === dirname(folder)) {
      throw new Error('dist/dataplane.js is not there: run `npm run build` first');
    }
  }
}
