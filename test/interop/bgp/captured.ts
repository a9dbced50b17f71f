/**
 * What other routers really send: every UPDATE and OPEN is kept as bytes, to be read and written
 * again.
 * @module
 */
import type { Connection, ConnectionListener, Transport } from '../../../src/bgp/base/api.ts';
import { MessageReader } from '../../../src/wire/bgp/message.ts';

export type Captured = { type: number; body: Uint8Array };

/** Copies what comes in on connections. */
export class Capture {
  readonly messages: Captured[] = [];
  readonly connections: Connection[] = [];

  listen(connection: Connection, listener: ConnectionListener): ConnectionListener {
    this.connections.push(connection);
    const reader = new MessageReader();
    return {
      ...listener,
      data: (bytes) => {
        for (const { type, body } of reader.push(bytes)) {
          this.messages.push({ type, body: body.slice() });
        }
        listener.data(bytes);
      },
    };
  }

  transport(inner: Transport): Transport {
    return {
      dial: (neighbour, listener) =>
        inner.dial(neighbour, {
          connected: (connection: Connection) =>
            this.listen(connection, listener.connected(connection)),
          failed: (reason) => listener.failed(reason),
        }),
    };
  }
}
