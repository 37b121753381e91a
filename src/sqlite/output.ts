/** The longest line that is told, in characters, and the most lines of one run. */
const MOST_LENGTH = 1_000
const MOST_LINES = 1_000

/**
 * Cuts what a run prints into lines for `hear`. There is no end to what a migration may print, and this is the process that
 * answers probes: long lines are cut, and after a thousand no more are told. Gives what takes the text of one more stream, and
 * its end.
 */
export function openOutput(hear: (line: string) => void): () => { take(text: string): void; end(): void } {
  let told = 0
  const tell = (line: string) => {
    told += 1
    if (told <= MOST_LINES) hear(line.length > MOST_LENGTH ? `${line.slice(0, MOST_LENGTH)}…` : line)
    else if (told === MOST_LINES + 1) hear('… and more, which is left out')
  }
  return () => {
    let begun = ''
    const take = (text: string) => {
      if (told > MOST_LINES) return
      const lines = (begun + text).split('\n')
      begun = (lines.pop() ?? '').slice(0, MOST_LENGTH + 1)
      for (const line of lines) tell(line)
    }
    // The last line may end with the process, which may have died.
    return { take, end: () => begun !== '' && take('\n') }
  }
}
