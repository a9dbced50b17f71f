import t from 'tap';
import {
  decodeLinkChange,
  encodeLinkChange,
  type LinkChange,
} from '../../src/table/links/link-change.ts';
import { EndpointKind, LinkReader, LinkWriter } from '../../src/table/links/links.ts';
import { TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';

const ENDPOINT = { kind: EndpointKind.Udp, localAddress: 0xac1e001c, localPort: 4789, offloads: 8 };
const LINK = {
  ...{ encap: 1, offloads: 7, endpoint: 31, overlayAddress: 0xfa000000, overlayLength: 8 },
  ...{ underlayAddress: 0xac1e0000, underlayLength: 16, localAddress: 0xac1e001c, vni: 0xfa0000 },
  ...{ peerPort: 4789, innerMtu: 1450, underlayMtu: 1500, gateway: 0xfa001c01 },
  ...{ superBytesToHost: 131_072, superBytesToPorts: 65_535, dscpUniform: 1 },
};

function scene() {
  const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  segment.initialize(7);
  const words = new Int32Array(segment.buffer, segment.links.offset, 64);
  return { writer: new LinkWriter(segment), reader: new LinkReader(segment), words };
}

t.test('rows come back as they were written, the last of each kind too', async (t) => {
  const { writer, reader } = scene();
  t.equal(reader.link(255), undefined, 'nobody is there');
  writer.setEndpoint(31, 5, ENDPOINT);
  writer.setLink(255, 9, LINK);
  t.match(reader.endpoint(31), { incarnation: 5, row: ENDPOINT });
  t.match(reader.link(255), { incarnation: 9, row: LINK });
  const version = reader.linkVersion(255);
  writer.setLink(255, 9, { ...LINK });
  t.equal(reader.linkVersion(255), version, 'what is the same already is not written');
  writer.setLink(255, 9, { ...LINK, innerMtu: 1400 });
  t.not(reader.linkVersion(255), version);
  t.match(reader.link(255), { row: { innerMtu: 1400 } });
  writer.clearLink(255);
  t.equal(reader.link(255), undefined);
  for (const outside of [-1, 256, Number.NaN]) t.equal(reader.link(outside), undefined);
});

t.test('a reader gives up while control stands in the middle of writing', async (t) => {
  const { writer, reader, words } = scene();
  writer.setLink(0, 1, LINK);
  // What a writer leaves that was stopped or killed on its way.
  words[0] = 3;
  t.equal(reader.link(0), undefined);
  words[0] = 4;
  t.match(reader.link(0), { version: 4, row: LINK }, 'and reads again once it has finished');
});

const CHANGE: LinkChange = {
  sequence: 77,
  left: [{ id: 3, incarnation: 2 ** 32 - 1 }],
  endpoints: [
    { index: 0, incarnation: 1, sockets: [20, 21, 22], probe: 23 },
    { index: 31, incarnation: 2, sockets: [24], probe: -1 },
  ],
  links: [
    { id: 0, incarnation: 4, device: 25 },
    { id: 255, incarnation: 5, device: 26 },
  ],
};
const DESCRIPTORS = [20, 21, 22, 23, 24, 25, 26];

t.test('a change is told with its descriptors beside it or by their numbers', async (t) => {
  t.same(decodeLinkChange(encodeLinkChange(CHANGE, false), DESCRIPTORS), CHANGE);
  t.same(decodeLinkChange(encodeLinkChange(CHANGE, true), []), CHANGE);
});

t.test('what does not come whole is no change', async (t) => {
  const bytes = encodeLinkChange(CHANGE, false);
  t.equal(decodeLinkChange(bytes, DESCRIPTORS.slice(1)), undefined, 'a descriptor is missing');
  t.equal(decodeLinkChange(bytes, [...DESCRIPTORS, 27]), undefined, 'there is one too many');
  for (let length = 0; length < bytes.length; length++) {
    t.equal(decodeLinkChange(bytes.subarray(0, length), DESCRIPTORS), undefined, `${length} bytes`);
  }
  // Counts that no memory holds.
  for (const at of [8, 12, 16]) {
    for (const count of [-1, 257, 0x7fff_ffff]) {
      const wrong = Uint8Array.from(bytes);
      new DataView(wrong.buffer).setInt32(at, count, true);
      t.equal(decodeLinkChange(wrong, DESCRIPTORS), undefined, `${count} at ${at}`);
    }
  }
});
