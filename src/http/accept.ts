import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'

/** Which of the media types that we `offer` the client likes best (RFC 9110, section 12.5.1): the first one unless it says; `undefined` where it takes none. */
export function preferred<T extends string>({ raw }: FastifyRequest, ...offer: readonly [T, ...T[]]): T | undefined {
  return raw.headers.accept === undefined ? offer[0] : (new Negotiator(raw).mediaType([...offer]) as T | undefined)
}
