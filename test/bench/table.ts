import { median, ratioOf, type Samples } from './measure.ts'

/** What a figure has to be, and should be. */
export interface Bounds {
  readonly must: number
  readonly aim: number
  /** Whether less is better, or more. */
  readonly is: 'at most' | 'at least'
}

/** A row of the table: a comparison, or with nothing to compare with, a figure of our own. */
export interface Line {
  readonly work: string
  readonly unit: string
  readonly ours: Samples
  readonly against: string
  /** `null`: the bounds are for our median, not for a ratio. */
  readonly theirs: Samples | null
  readonly bounds: Bounds | null
}

/** A ratio, or milliseconds, that must and should not be exceeded. */
export function atMost(must: number, aim: number): Bounds {
  return { must, aim, is: 'at most' }
}

export function atLeast(must: number, aim: number): Bounds {
  return { must, aim, is: 'at least' }
}

/** The first of the samples, which are ours, against each of the others; the first of those has the bounds. */
export function linesOf(
  work: string,
  samples: Readonly<Record<string, Samples>>,
  words: Readonly<Record<string, string>>,
  bounds: Bounds | null,
  unit = 'ms',
): Line[] {
  const [[, ours] = ['', []], ...others] = Object.entries(samples)
  return others.map(([name, theirs], at) => {
    const against = words[name] ?? `${name}, the process`
    return { work, unit, ours, against, theirs, bounds: at === 0 ? bounds : null }
  })
}

const HEAD = ['work', 'schemad', 'measured against', '', 'ratio', 'must', 'aim', 'reached']

/** As Markdown: the least and the median of each side, and the median of the ratios of the pairs. */
export function table(lines: readonly Line[]): string {
  return markdown(
    HEAD,
    lines.map((line, at) => cellsOf(line, line.work === lines[at - 1]?.work)),
  )
}

/** A table whose first column has words, and each other one what has to stand at the right where it is a number. */
export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const side = (column: number) => (column > 0 && rows.some((row) => /^\d/.test(row[column] ?? '')) ? '--:' : '---')
  const rule = head.map((_, column) => side(column))
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

export function number(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(value >= 10 ? 1 : 2)
}

function cellsOf({ work, unit, ours, against, theirs, bounds }: Line, again: boolean): string[] {
  const ratio = theirs && ratioOf(ours, theirs)
  const first = again ? ['', ''] : [work, sideOf(ours, unit)]
  const other = [against, theirs === null ? '' : sideOf(theirs, unit), ratio === null ? '' : `${ratio.toFixed(2)}×`]
  return [...first, ...other, ...told(ratio ?? median(ours), bounds)]
}

function sideOf(samples: Samples, unit: string): string {
  return `${number(Math.min(...samples))} / ${number(median(samples))} ${unit}`
}

function told(figure: number, bounds: Bounds | null): string[] {
  if (bounds === null) return ['', '', '']
  const { must, aim, is } = bounds
  const holds = (bound: number) => (is === 'at most' ? figure <= bound : figure >= bound)
  const sign = is === 'at most' ? '≤' : '≥'
  return [`${sign} ${must}`, `${sign} ${aim}`, holds(aim) ? 'aim' : holds(must) ? 'must' : '**no**']
}
