/**
 * Datagrams of train tests that peers send us: each is told to control, which answers the peer, and none
 * of them is a packet of the overlay.
 * @module
 */
import { eventIndex, ingressIndex } from '../../table/counters.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/ethernet.ts';
import { readTrainTest, TRAIN_TEST_TOKEN_OFFSET } from '../../wire/lan/train-test.ts';
import type { DataLink } from '../ground/link.ts';
import type { News } from './news.ts';

const RECEIVED = ingressIndex('received');
const RECEIVED_BYTES = ingressIndex('receivedBytes');
const TRAIN_TESTS = eventIndex('train_tests');

export class TrainTests {
  readonly #news: News;

  constructor(news: News) {
    this.#news = news;
  }

  /**
   * Takes the test in the frame of `length` bytes at `frame`, from the socket address at `source`. False
   * where it is not whole: then it is a frame as any other.
   */
  take(
    link: DataLink,
    view: DataView,
    frame: number,
    length: number,
    source: number,
    nowMs: number,
  ): boolean {
    const at = frame + ETHERNET_HEADER_BYTES;
    const what = readTrainTest(view, at, length - ETHERNET_HEADER_BYTES);
    if (what < 0) return false;
    const { counters } = link;
    // It was counted before anybody knew what it is.
    const bytes = link.shimBytes + length;
    counters[RECEIVED] = (counters[RECEIVED] as number) - 1;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) - bytes;
    counters[TRAIN_TESTS] = (counters[TRAIN_TESTS] as number) + 1;
    this.#news.nowMs = nowMs;
    this.#news.tellSender(link, at + TRAIN_TEST_TOKEN_OFFSET, source, what);
    return true;
  }
}
