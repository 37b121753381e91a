import { onTestFinished } from 'vitest'
import type { Server } from './server.ts'

export interface ServerSentEvent {
  readonly event: string
  readonly id: string
  // What a test expects of it, it says by its assertions.
  readonly data: Record<string, unknown>
}

/** A client of an event stream. */
export interface Listener {
  readonly status: number
  readonly headers: Headers
  /** What has come so far. */
  readonly events: readonly ServerSentEvent[]
  readonly comments: readonly string[]
  /** Resolves with the first event, so far or later, that is `wanted`; rejects when the stream ends before it. */
  heard(wanted: (event: ServerSentEvent) => boolean): Promise<ServerSentEvent>
  /** Resolves when the stream has ended, with `whole`, or was cut off. */
  readonly ended: Promise<'whole' | 'cut off'>
  leave(): void
}

/** Opens `path` on `server` and listens until it ends, or the test does. */
export async function listen(server: Server, path: string, headers: Record<string, string> = {}): Promise<Listener> {
  const leaving = new AbortController()
  onTestFinished(() => leaving.abort())
  const response = await fetch(`${server.url}${path}`, { headers, signal: leaving.signal })
  const events: ServerSentEvent[] = []
  const comments: string[] = []
  const hearers = new Set<() => void>()
  let over = false
  const ended = read(response, (block) => {
    if (block.startsWith(':')) comments.push(block)
    else events.push(parsed(block))
    for (const hear of hearers) hear()
  })
  void ended.then(() => {
    over = true
    for (const hear of hearers) hear()
  })
  return {
    status: response.status,
    headers: response.headers,
    events,
    comments,
    ended,
    leave: () => leaving.abort(),
    heard: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = events.find(wanted)
          if (found === undefined && !over) return
          hearers.delete(look)
          if (found !== undefined) resolve(found)
          else reject(new Error(`the stream has ended: ${JSON.stringify(events)}`))
        }
        hearers.add(look)
        look()
      }),
  }
}

async function read({ body }: Response, hear: (block: string) => void): Promise<'whole' | 'cut off'> {
  let text = ''
  try {
    for await (const chunk of body ?? []) {
      text += new TextDecoder().decode(chunk)
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) hear(block)
    }
    return text === '' ? 'whole' : 'cut off'
  } catch {
    return 'cut off'
  }
}

function parsed(block: string): ServerSentEvent {
  const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)))
  return { event: fields.event, id: fields.id, data: JSON.parse(fields.data) }
}
