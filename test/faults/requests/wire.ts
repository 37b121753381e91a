import { connect, type Socket } from 'node:net'

export interface Response {
  readonly status: number
  /** By their names in small letters. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** All that came, as it came. */
  readonly raw: string
}

/** A kept-alive connection that sends bytes as they are. */
export interface Wire {
  /** The answer to `bytes`; `null` where the connection ended, or `patienceMs` went by, without one. */
  send(bytes: Buffer, method: string, patienceMs: number): Promise<Response | null>
  close(): void
}

export function openWire(port: number): Wire {
  let socket: Socket | null = null
  const close = () => {
    socket?.destroy()
    socket = null
  }
  return {
    close,
    send: async (bytes, method, patienceMs) => {
      if (socket === null || socket.destroyed) socket = connect({ port, host: '127.0.0.1', noDelay: true })
      socket.write(bytes)
      const response = await read(socket, method, patienceMs)
      if (response === null || response.headers.get('connection') === 'close') close()
      return response
    },
  }
}

function read(socket: Socket, method: string, patienceMs: number): Promise<Response | null> {
  return new Promise((resolve) => {
    let text = ''
    const finish = (response: Response | null) => {
      clearTimeout(timer)
      socket.removeAllListeners()
      // It may be reset while nobody listens.
      socket.on('error', () => {})
      resolve(response)
    }
    const timer = setTimeout(() => finish(null), patienceMs)
    socket.on('data', (data) => {
      text += data.toString('latin1')
      const response = parsed(text, method, false)
      if (response !== null) finish(response)
    })
    socket.on('error', () => {})
    socket.on('close', () => finish(parsed(text, method, true)))
  })
}

/** The answer at the beginning of `text`, once it is whole. */
function parsed(text: string, method: string, ended: boolean): Response | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const status = Number(first.split(' ')[1])
  const rest = text.slice(end + 4)
  if (status < 200) return parsed(rest, method, ended)
  const headers = new Map(lines.map((line) => [line.split(':')[0]?.toLowerCase() ?? '', line.replace(/^[^:]*: */, '')]))
  const body = bodyOf(rest, headers, method === 'HEAD' || status === 204 || status === 304, ended)
  return body === null ? null : { status, headers, body: Buffer.from(body, 'latin1').toString(), raw: text }
}

function bodyOf(rest: string, headers: ReadonlyMap<string, string>, none: boolean, ended: boolean): string | null {
  if (none) return ''
  const length = headers.get('content-length')
  if (length !== undefined) return rest.length >= Number(length) ? rest.slice(0, Number(length)) : null
  if (headers.get('transfer-encoding') === 'chunked') return rest.endsWith('0\r\n\r\n') ? unchunked(rest) : null
  return ended ? rest : null
}

function unchunked(rest: string): string {
  let [body, left] = ['', rest]
  for (;;) {
    const [size = '0'] = left.split('\r\n', 1)
    const begin = size.length + 2
    const end = begin + Number.parseInt(size, 16)
    if (end === begin) return body
    body += left.slice(begin, end)
    left = left.slice(end + 2)
  }
}
