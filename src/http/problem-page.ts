import { ERROR_CODES, type ErrorCode } from '../core/errors.ts'
import { exampleOf } from './problem-example.ts'
import { PROBLEMS } from './problem-list.ts'

// A static import of it would have Node load its client of HTTP and WebSocket too, at every start.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

/** All problems as text, a line each. */
export function listText(): string {
  const width = Math.max(...ERROR_CODES.map((code) => code.length))
  const lines = ERROR_CODES.map((code) => `${PROBLEMS[code].status} ${code.padEnd(width)}  ${PROBLEMS[code].title}`)
  return `${lines.join('\n')}\n\nMore of each: /problems/CODE\n`
}

/** The page of `code` as text. */
export function pageText(code: ErrorCode): string {
  const { status, title, cause, remedy } = PROBLEMS[code]
  const parts = [
    `${code}\n${title}`,
    `Status: ${status} ${STATUS_CODES[status]}\nAgain: ${again(code)}`,
    `Why: ${cause}`,
    `What to do: ${remedy}\n${TOKENS}`,
    `For example:\n${exampleText(code)}`,
    'All problems: /problems',
  ]
  return `${parts.join('\n\n')}\n`
}

/** All problems in HTML, each a link to its page. */
export function listHtml(): string {
  const row = (code: ErrorCode) => {
    const { status, title } = PROBLEMS[code]
    return `<li><a href="/problems/${code}"><code>${code}</code></a> ${status}<br>${escaped(title)}</li>`
  }
  return page('Problems', `<h1>Problems</h1>\n<ul>\n${ERROR_CODES.map(row).join('\n')}\n</ul>`)
}

/** The page of `code` in HTML. */
export function pageHtml(code: ErrorCode): string {
  const { status, title, cause, remedy } = PROBLEMS[code]
  return page(
    `${code}: ${title}`,
    `<h1>${escaped(title)}</h1>
<dl>
<dt>Code</dt><dd><code>${code}</code></dd>
<dt>Status</dt><dd>${status} ${escaped(STATUS_CODES[status] ?? '')}</dd>
<dt>Again</dt><dd>${escaped(again(code))}</dd>
</dl>
<h2>Why</h2>
<p>${marked(cause)}</p>
<h2>What to do</h2>
<p>${marked(remedy)}</p>
<p>${marked(TOKENS)}</p>
<h2>For example</h2>
<pre>${escaped(exampleText(code))}</pre>
<p><a href="/problems">All problems</a></p>`,
  )
}

/** The style of the pages; that it is this one, their Content-Security-Policy says. */
export const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 45rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.2 }
h2 { font-size: 1.1rem; margin-bottom: 0 }
p { margin-top: .25rem }
ul { padding: 0; list-style: none }
li { margin-bottom: .75rem }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem }
dd { margin: 0 }
code, pre { font: .9rem/1.5 ui-monospace, monospace; background: #8882 }
pre { padding: .75rem; overflow-x: auto; overflow-wrap: normal }
`

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)} – schemad</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`
}

function again(code: ErrorCode): string {
  const told: { status: number; retryable: boolean; again?: string } = PROBLEMS[code]
  if (told.again !== undefined) return told.again
  if (!told.retryable) return 'no, the same request will be answered alike until something is mended'
  return told.status === 500 ? 'yes' : 'yes, after as many seconds as Retry-After says'
}

/** What stands below every page. */
const TOKENS = "Where tokens are in force, each command wants `-H 'Authorization: Bearer …'`."

function exampleText(code: ErrorCode): string {
  return JSON.stringify(exampleOf(code), null, 2)
}

/** What stands between backticks is code. */
function marked(text: string): string {
  return escaped(text).replace(/`([^`]*)`/g, '<code>$1</code>')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
