import { ERROR_CODES } from '../../src/core/errors.ts'
import { PROBLEMS } from '../../src/http/problem-list.ts'

const [BEGIN, END] = ['<!-- problems -->', '<!-- /problems -->'] as const

/** `readme` with the table of the problems as the list has it, between its two comments. */
export function withProblems(readme: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (begin === -1 || end < begin) throw new Error(`the README has no ${BEGIN} … ${END}`)
  return `${readme.slice(0, begin + BEGIN.length)}\n${table()}\n${readme.slice(end)}`
}

function table(): string {
  const rows = ERROR_CODES.map((code) => {
    const { status, retryable, cause, remedy } = PROBLEMS[code]
    const what = `${firstSentence(cause)} ${firstSentence(remedy)}`.replaceAll('|', '\\|')
    return `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${what} |`
  })
  return ['| code | status | again | why, and what to do |', '|---|---|---|---|', ...rows].join('\n')
}

function firstSentence(text: string): string {
  return text.split(/(?<=[.`]\.|\w\.) (?=[A-Z`])/)[0] ?? text
}
