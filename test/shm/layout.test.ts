import t from 'tap';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';

const TABLES = { endpoints: [], links: [], exceptions: [] };

t.test('a reader gives up while control stands in the middle of writing', async (t) => {
  const buffer = new ArrayBuffer(LAYOUT_BYTES);
  const layout = new Layout(buffer);
  layout.initialize();
  layout.publish(TABLES);
  t.match(layout.read(), { generation: 2 });
  // What a writer leaves that was stopped or killed on its way.
  new Int32Array(buffer, 8, 1)[0] = 3;
  t.equal(layout.read(), undefined);
  new Int32Array(buffer, 8, 1)[0] = 4;
  t.match(layout.read(), { generation: 4 }, 'and reads again once it has finished');
});
