#!/usr/bin/env node
/**
 * `fanway-cni`: the program that container runtimes run. CNI's ask by the environment, netavark's by words.
 * @module
 */
import { cniMain } from '../cni/main.ts';
import { netavarkMain } from '../netavark/main.ts';

const words = process.argv.slice(2);
// Not awaited at the top: the single file runs it as CommonJS.
void (words.length > 0 ? netavarkMain(words, process.env) : cniMain());
