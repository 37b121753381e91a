import type { FastifyReply } from 'fastify'

/** Adds `field` to the answer's `Vary`, beside what stands there: CORS has its own. */
export function vary(reply: FastifyReply, field: string): FastifyReply {
  const given = reply.getHeader('vary')
  const fields = given === undefined ? [] : String(given).split(/, */)
  return fields.includes(field) ? reply : reply.header('Vary', [...fields, field].join(', '))
}
