import t from 'tap';
import { parseConfig } from '../../src/config/parse.ts';
import { conflistOf } from '../../src/plugins/cni/install.ts';
import { findRoot } from '../style/sources.ts';
import { missingIn, readManifest, skipWithoutKubectl, throughTypes } from './manifest.ts';

const skip = (findRoot() === '' && 'the sources are not beside the tests') || skipWithoutKubectl();

t.test('the Kubernetes manifest is what the API takes', { skip }, async (t) => {
  const objects = readManifest();
  t.same(
    objects.map(({ kind }) => kind),
    ['Namespace', 'ConfigMap', 'DaemonSet'],
  );
  const daemons = objects[2];
  if (daemons === undefined) throw new Error('no DaemonSet');
  t.same(missingIn(throughTypes(daemons), daemons), [], 'every field is one of its types');
  const wrong = { ...daemons, spec: { ...daemons.spec, minReadySecs: 1 } } as typeof daemons;
  t.same(missingIn(throughTypes(wrong), wrong), ['.spec.minReadySecs'], 'and another one is seen');

  const text = objects[1]?.data?.['fanway.conf'] ?? '';
  const { problems, config } = parseConfig(text);
  t.same(problems, [], 'its configuration');
  t.equal(config?.fans.length, 1);
  const { volumes = [], containers = [] } = daemons.spec?.template.spec ?? {};
  for (const { name, volumeMounts } of containers) {
    for (const mount of volumeMounts) {
      t.ok(
        volumes.some((volume) => volume.name === mount.name),
        `${name}: ${mount.name}`,
      );
    }
  }
  t.match(conflistOf({ name: 'fan', portmap: false }), /"type": "fanway-cni"/);
});
