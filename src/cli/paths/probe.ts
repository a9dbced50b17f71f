/**
 * `fanway __probe`: measures the paths that standard input names, for the router. Not for people.
 * @module
 */
import { readFileSync } from 'node:fs';
import { PROBE_VERB, readTargets } from '../../control/probe/child.ts';
import { SURVEY, Survey } from '../../control/probe/survey.ts';
import { ExitCode } from '../../errors.ts';
import { noMore, printJson, type Verb } from '../verb/verb.ts';

export const probe: Verb = {
  name: PROBE_VERB,
  summary: 'measure paths (started by the router)',
  usage: [PROBE_VERB],
  options: [],
  examples: [['fanway test', 'has it started']],
  async run(args, io) {
    noMore(args, probe);
    const targets = readTargets(JSON.parse(readFileSync(0, 'utf8')), '');
    const survey = new Survey(targets, SURVEY);
    try {
      printJson(io, await survey.run());
    } finally {
      survey.close();
    }
    return ExitCode.Ok;
  },
};
