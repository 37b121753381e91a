import fc from 'fast-check'
import { DOCUMENT, type Parameter } from '../../support/described.ts'
import { everyByte, mutation, type Sent } from './mutations.ts'

/** Stands for an id or a name that an answer has told lately. */
export const LIVE = '{live}'

/** Requests that the document describes, nearly describes, or does not. */
export function anyRequest(tokens: readonly string[]): fc.Arbitrary<Sent> {
  const operations = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [] }]) => described(method.toUpperCase(), path, parameters)),
  )
  const headers = fc.tuple(authorization(tokens), fc.constantFrom(null, null, null, 'text/plain', 'application/json'))
  const plain = fc.tuple(fc.oneof(...operations), headers).map(([sent, [token, accept]]): Sent => {
    const given = [['Authorization', token] as const, ['Accept', accept] as const]
    const more = given.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]))
    return { ...sent, headers: [...sent.headers, ...more] }
  })
  const mutations = fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    { weight: 3, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 3 }) },
  )
  return fc.tuple(plain, mutations).map(([sent, all]) => all.reduce((made, mutate) => mutate(made), sent))
}

function described(method: string, path: string, parameters: readonly Parameter[]): fc.Arbitrary<Sent> {
  const inPath = parameters.filter((one) => one.in === 'path')
  const inQuery = parameters.filter((one) => one.in === 'query')
  const inHeader = parameters.filter((one) => one.in === 'header')
  const values = fc.tuple(...inPath.map((one) => textOf(one)))
  const none = { weight: 2, arbitrary: fc.constant(null) }
  const pairs = fc.tuple(...inQuery.map((one) => fc.oneof(none, { weight: 1, arbitrary: pairOf(one) })))
  const lines = fc.tuple(...inHeader.map((one) => fc.oneof(none, { weight: 1, arbitrary: lineOf(one) })))
  return fc.tuple(values, pairs, lines).map(([given, query, all]) => {
    const filled = path.replace(/\{\w+\}/g, () => given.shift() ?? '')
    const asked = query.filter((pair) => pair !== null).join('&')
    const target = asked === '' ? filled : `${filled}?${asked}`
    return { method, target, headers: all.filter((line) => line !== null), body: null, broken: false }
  })
}

function pairOf(parameter: Parameter): fc.Arbitrary<string> {
  const { name } = parameter
  const names = fc.oneof(
    { weight: 12, arbitrary: fc.constant(encodeURIComponent(name)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(everyByte(name), name.toUpperCase(), `${name}[]`, ` ${name}`, `${name}%00`),
    },
  )
  return fc.tuple(names, textOf(parameter)).map((pair) => pair.join('='))
}

/** What a header that is described may say, and nearly says. */
const LINES: Readonly<Record<string, readonly string[]>> = {
  prefer: [
    'respond-async',
    'respond-async, wait=1',
    'Respond-Async;x=1',
    'wait=999999999',
    'respond-async=1',
    '=',
    ',,',
  ],
  'last-event-id': ['end', '1', '', LIVE],
  'if-none-match': ['*', '"x", W/"y"', '"', ''],
}

function lineOf({ name }: Parameter): fc.Arbitrary<readonly [string, string]> {
  return fc.constantFrom(...(LINES[name] ?? [])).map((value) => [name, value] as const)
}

/** Valid ones, and those that a careless parser would take for one. */
function textOf({ schema }: Parameter): fc.Arbitrary<string> {
  const words = schema.enum ?? /\b[a-z]{3,}\b/.exec(schema.pattern ?? '') ?? []
  const integers = schema.pattern?.includes('[1-9]') ? ['0', '1', '2', '3', '-1'] : []
  const valid = fc.constantFrom(...(words.length + integers.length > 0 ? [...words, ...integers] : [LIVE]))
  return fc.oneof(
    { weight: 15, arbitrary: valid },
    { weight: 1, arbitrary: valid.map(everyByte) },
    { weight: 1, arbitrary: fc.constantFrom(...ODD_VALUES, ...words.map((word) => word.toUpperCase())) },
    { weight: 1, arbitrary: fc.string().map(encodeURIComponent) },
  )
}

const ODD_VALUES =
  '|00|01|1.0|1e0|%2B1|0x1|+1|%201|1%20|-0|-2|999999999|1000000000|9007199254740993|%D9%A3|NaN|null|1,2|true|%00|1%00|__proto__|%ff|%|..|%2e%2e|..%2f..%2fetc|[object Object]'
    .replaceAll(' ', '%20')
    .split('|')

function authorization(tokens: readonly string[]): fc.Arbitrary<string | null> {
  const [held, strongest = ''] = [fc.constantFrom(...tokens), tokens.at(-1)]
  const wrong = [
    '',
    'Bearer',
    'Bearer ',
    'Bearer x',
    `Basic ${strongest}`,
    `Bearer ${strongest}x`,
    `Bearer ${strongest.slice(1)}`,
  ]
  return fc.oneof(
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom(...wrong, `Bearer ${strongest} ${strongest}`, `Bearer "${strongest}"`) },
    { weight: 6, arbitrary: held.map((token) => `Bearer ${token}`) },
    { weight: 1, arbitrary: held.map((token) => `bearer  ${token} `) },
  )
}
