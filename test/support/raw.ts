import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import type { Server } from './server.ts'

/** A request with a `Host` of our choice, which fetch does not allow. */
export function withHost(
  server: Server,
  host: string,
  path: string,
  method = 'GET',
): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ hostname, port, path, method, headers: { host } }, (response) => {
      let body = ''
      response.on('data', (data: Buffer) => {
        body += data
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    sent.once('error', reject)
    sent.end()
  })
}

/** What comes back for bytes that are sent as they are. */
export function raw(server: Server, text: string): Promise<string> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text))
    let answer = ''
    socket.on('data', (data) => {
      answer += data
    })
    socket.once('close', () => resolve(answer))
    socket.once('error', reject)
  })
}
