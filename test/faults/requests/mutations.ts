import fc from 'fast-check'

/** A request as it goes over the wire. */
export interface Sent {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string | null
  /** Its head is no valid HTTP, or promises another body: what comes may be a refusal from below, or nothing. */
  readonly broken: boolean
}

type Mutation = (sent: Sent) => Sent

const header =
  (name: string, value: string, broken = false): Mutation =>
  (sent) => ({
    ...sent,
    headers: [...sent.headers, [name, value]],
    broken: sent.broken || broken,
  })
const body =
  (text: string): Mutation =>
  (sent) => ({ ...sent, body: text })
const query =
  (pair: string): Mutation =>
  (sent) => ({
    ...sent,
    target: `${sent.target}${sent.target.includes('?') ? '&' : '?'}${pair}`,
  })
const path =
  (change: (path: string) => string): Mutation =>
  (sent) => {
    const [, before = '', after = ''] = /^([^?]*)(.*)$/s.exec(sent.target) ?? []
    return { ...sent, target: `${change(before)}${after}` }
  }
const again: Mutation = (sent) => query(/[?&]([^?&]*)$/.exec(sent.target)?.[1] ?? 'a=1&a=1')(sent)

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']
const PAIRS = [
  'dryrun=true',
  'Target=1',
  '__proto__=1',
  'constructor=x',
  'toString',
  'a[b]=1',
  '=',
  '&',
  '=1',
  '%',
  '%ff=1',
  '%00',
  'target;steps',
  '?',
  'limit=1',
  'body=%7B%7D',
]
const BODIES = [
  '',
  '{}',
  ' {\n} ',
  '{"dryRun":true}',
  '{"__proto__":{}}',
  '[]',
  'null',
  '0',
  '"',
  '{',
  'dryRun=true',
  '\0\xff',
  '--x\r\n\r\n--x--',
  'x'.repeat(20_000),
  '{}{}',
]
const TYPES = [
  'application/json',
  'application/json; charset=utf-7',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'no type',
  '',
  '*/*',
]
const SITES = ['same-origin', 'none', 'same-site', 'cross-site', '']
const HEADERS: readonly (readonly [string, string])[] = [
  ...['application/xml', '*/*', '*/*;q=0', 'text/*', ',', 'text/plain;q=2', 'a/b/c', 'x'.repeat(5_000)].map(
    (one) => ['Accept', one] as const,
  ),
  ...['*', 'W/"x"', '"', '', '"a", *'].map((one) => ['If-None-Match', one] as const),
  ...['null', 'http://evil.example', 'http://127.0.0.1', 'no origin'].map((one) => ['Origin', one] as const),
  ...SITES.map((one) => ['Sec-Fetch-Site', one] as const),
  ...TYPES.map((one) => ['Content-Type', one] as const),
  ...['respond-async', 'wait=1', 'respond-async, wait=0', ''].map((one) => ['Prefer', one] as const),
  ...['100-continue', '100-Continue', '200-ok'].map((one) => ['Expect', one] as const),
  ...[
    '__proto__',
    'constructor',
    'X-HTTP-Method-Override',
    'X-Forwarded-Host',
    'Range',
    'Cookie',
    'Accept-Encoding',
    'Access-Control-Request-Method',
  ].map((one) => [one, 'POST'] as const),
]
/** With a `Connection: close`-like end, or no answer at all. */
const BROKEN: readonly (readonly [string, string])[] = [
  ...['-1', '5', 'abc', '1e3', '99999999999999999999', '+2', '0, 0'].map((one) => ['Content-Length', one] as const),
  ...['chunked', 'gzip', 'chunked, chunked'].map((one) => ['Transfer-Encoding', one] as const),
  ...['', 'evil.example', 'localhost, localhost', 'a b'].map((one) => ['Host', one] as const),
  ['Connection', 'close'],
  ['Upgrade', 'websocket'],
  ['X-Odd', 'a\rb'],
  ['X-Odd', 'a\0b'],
  ['Bad Name', 'x'],
]
const PATHS: readonly ((path: string) => string)[] = [
  (one) => `${one}/`,
  (one) => `/${one}`,
  (one) => `${one}//`,
  (one) => `/.${one}`,
  (one) => `/x/..${one}`,
  (one) => `/%2e%2e${one}`,
  (one) => `${one}%2f`,
  (one) => `${one}%00`,
  (one) => `${one}/%00`,
  (one) => `${one};a=1`,
  (one) => `${one}#a`,
  (one) => `http://localhost${one}`,
  (one) => `/${everyByte(one.slice(1))}`,
  (one) => one.toUpperCase(),
  (one) => `${one}/__proto__`,
  (one) => one.replaceAll('/', '%2f'),
  (one) => `${one}\xe4`,
  (one) => `${one}${'/x'.repeat(3_000)}`,
  ...[
    '/__proto__',
    '/constructor',
    '/',
    '*',
    '/docs',
    '/docs/..',
    '/docs/static/../../package.json',
    '/openapi.json',
    '/%',
    '/metrics',
  ].map((one) => () => one),
]

/** One change to a request, of which most make it another than the document describes. */
export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...PAIRS).map(query) },
  {
    weight: 1,
    arbitrary: fc.string({ unit: 'binary', maxLength: 5 }).map((text) => query(encodeURI(text.toWellFormed()))),
  },
  { weight: 1, arbitrary: fc.constantFrom(300, 5_000, 20_000).map((length) => query(`target=${'1'.repeat(length)}`)) },
  { weight: 2, arbitrary: fc.constant(again) },
  { weight: 4, arbitrary: fc.constantFrom(...BODIES).map(body) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...METHODS).map(
      (method): Mutation =>
        (sent) => ({ ...sent, method }),
    ),
  },
  { weight: 8, arbitrary: fc.constantFrom(...HEADERS).map(([name, value]) => header(name, value)) },
  { weight: 1, arbitrary: fc.constantFrom(...BROKEN).map(([name, value]) => header(name, value, true)) },
  { weight: 4, arbitrary: fc.constantFrom(...PATHS).map(path) },
)

/** Percent-encoded where it need not be. */
export function everyByte(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}
