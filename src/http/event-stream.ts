import { Readable } from 'node:stream'

/** How much may wait for a client that does not read, beside the first event, in bytes. */
const MOST_WAITING = 1024 * 1024

/** How often something is sent where nothing happens, in milliseconds: proxies close what is silent. */
const HEARTBEAT_MS = 10_000

/** How long a client has to read what is left when nothing more will come, in milliseconds. */
const LINGER_MS = 10_000

/**
 * A stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). A client that cannot keep
 * up is dropped: what waits for it would only grow.
 */
export class EventStream extends Readable {
  #sent = 0
  /** The run that a client is told first may be large by itself. */
  #first = 0
  readonly #heartbeat = setInterval(() => this.#write(': nothing new\n\n'), HEARTBEAT_MS)

  /** Sends an event with `data` as JSON. Its id is its number, unless given. */
  tell(event: string, data: unknown, id?: string): void {
    this.#sent += 1
    const text = `event: ${event}\nid: ${id ?? this.#sent}\ndata: ${JSON.stringify(data)}\n\n`
    if (this.#sent === 1) this.#first = Buffer.byteLength(text)
    this.#write(text)
  }

  /** Nothing more will come. */
  end(): void {
    if (this.destroyed || this.readableEnded) return
    clearInterval(this.#heartbeat)
    this.push(null)
    const timer = setTimeout(() => this.destroy(), LINGER_MS)
    this.once('close', () => clearTimeout(timer))
  }

  #write(text: string): void {
    if (this.destroyed) return
    if (this.readableLength > MOST_WAITING + this.#first) this.destroy()
    else this.push(text)
  }

  override _read(): void {}

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat)
    done(error)
  }
}
