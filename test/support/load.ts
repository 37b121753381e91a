import { Agent, request } from 'node:http'
import { onTestFinished } from 'vitest'

/**
 * What came of a request: its status, or `refused` where nobody listened, or what else kept it from being answered whole. Who
 * is connected, and not yet accepted, when a socket stops listening is refused by the kernel by a reset.
 */
export type Came = number | 'refused' | 'refused in the queue' | `failed: ${string}`

/** Clients that ask again as soon as they are answered, each over a connection that it keeps for as long as it may. */
export interface Load {
  /** How often each thing came. */
  readonly came: ReadonlyMap<Came, number>
  /** How many requests have been answered by now. */
  readonly answered: number
  stop(): Promise<void>
}

/** Begins to ask with so many clients. `ask` says what; it is called for each request. */
export function startLoad(
  clients: number,
  ask: () => { readonly url: string; readonly method?: string; readonly headers?: Record<string, string> },
): Load {
  const came = new Map<Came, number>()
  let going = true
  let answered = 0
  const client = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (going) {
      const one = await exchange(agent, ask())
      came.set(one, (came.get(one) ?? 0) + 1)
      if (typeof one === 'number') answered += 1
      else await new Promise((resolve) => setTimeout(resolve, 10))
    }
    agent.destroy()
  }
  const all = Promise.all(Array.from({ length: clients }, client))
  onTestFinished(() => {
    going = false
  })
  return {
    came,
    get answered() {
      return answered
    },
    stop: async () => {
      going = false
      await all
    },
  }
}

function exchange(agent: Agent, { url, method = 'GET', headers = {} }: ReturnType<Parameters<typeof startLoad>[1]>) {
  return new Promise<Came>((resolve) => {
    let answering = false
    const sent = request(url, { agent, method, headers }, (response) => {
      answering = true
      response.once('error', failed).once('end', () => resolve(response.statusCode ?? 0))
      response.resume()
    })
    const failed = (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve('refused')
      else if (error.code === 'ECONNRESET' && !sent.reusedSocket && !answering) resolve('refused in the queue')
      else resolve(`failed: ${error.code ?? error.message}`)
    }
    sent.once('error', failed).end()
  })
}
