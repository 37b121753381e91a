import type { FastifyRequest } from 'fastify'

/** What a client would like, by RFC 7240. */
export interface Preferences {
  /** `respond-async`: to be answered before the run has ended. */
  readonly respondAsync: boolean
  /** `wait`: it would rather have the end, if that comes within so many seconds; 0 unless said. */
  readonly waitSeconds: number
}

/** The preferences of `request`. What is not known or not well formed is as good as not there (RFC 7240, section 2). */
export function preferencesOf({ headers }: FastifyRequest): Preferences {
  const values = new Map<string, string>()
  for (const one of [headers.prefer ?? []].flat().join(',').split(',')) {
    const [, name = '', value = ''] = PREFERENCE.exec(one) ?? []
    // The first of several counts.
    if (!values.has(name.toLowerCase())) values.set(name.toLowerCase(), value)
  }
  const wait = values.get('wait') ?? ''
  return {
    respondAsync: values.get('respond-async') === '',
    waitSeconds: /^\d{1,4}$/.test(wait) ? Number(wait) : 0,
  }
}

/** A name, perhaps a value, and parameters that mean nothing here. */
const PREFERENCE = /^\s*([\w-]+)\s*(?:=\s*"?([^";]*?)"?)?\s*(?:;.*)?$/
