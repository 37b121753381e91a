import { DOCUMENT, misfit, pathOf, templateOf } from '../../support/described.ts'
import type { Sent } from './mutations.ts'

/** Whether somebody who may asks for a change in a way that the document describes. */
export function mayRun(sent: Sent, tokens: { readonly migrate: string; readonly admin: string }): boolean {
  const path = pathOf(sent.target)
  const operation = DOCUMENT.paths[templateOf(path) ?? '']?.post
  if (sent.method !== 'POST' || operation === undefined) return false
  const given = sent.headers
    .filter(([name]) => name === 'Authorization')
    .map(([, value]) => /^bearer +(\S+) *$/i.exec(value)?.[1])
  const enough = path === '/migrate' ? [tokens.migrate, tokens.admin] : [tokens.admin]
  if (given.length !== 1 || !enough.includes(given[0] ?? '')) return false
  if (!/^\s*(\{\s*\})?\s*$/.test(sent.body ?? '')) return false
  const query = [...new URLSearchParams(/\?([^#]*)/s.exec(sent.target)?.[1] ?? '')]
  const known = (operation.parameters ?? []).filter((one) => one.in === 'query')
  return (
    new Set(query.map(([name]) => name)).size === query.length &&
    query.every(([name, value]) => known.some((one) => one.name === name && misfit(one.schema, value) === null))
  )
}
