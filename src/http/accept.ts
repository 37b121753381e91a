import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'

/** All that we send is in it (RFC 9110, section 8.3.2). */
const UTF8 = /\s*;\s*charset="?utf-8"?/gi

/** Which of the media types that we `offer` the client likes best (RFC 9110, section 12.5.1): the first one unless it says; `undefined` where it takes none. */
export function preferred<T extends string>({ raw }: FastifyRequest, ...offer: readonly [T, ...T[]]): T | undefined {
  if (raw.headers.accept === undefined) return offer[0]
  const accept = raw.headers.accept.replace(UTF8, '')
  return new Negotiator({ headers: { accept } }).mediaType([...offer]) as T | undefined
}
