/** Does something once, looks at what it has left, and gives what it took. */
export type Side = () => Promise<number>

/** What the sides took, a number a round. */
export type Samples = readonly number[]

/** Each side in each round, in turns forwards and backwards: what the machine does meanwhile meets all of them. */
export async function inRounds<Name extends string>(
  rounds: number,
  sides: Readonly<Record<Name, Side>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(sides) as Name[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) samples[name].push(await sides[name]())
  }
  return samples
}

/** The median of the ratios of the pairs: a slow minute falls out of it. */
export function ratioOf(ours: Samples, theirs: Samples): number {
  return median(ours.map((sample, round) => sample / (theirs[round] ?? Number.NaN)))
}

export function median(samples: Samples): number {
  const sorted = ascending(samples)
  const [before, after] = [Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2)]
  return ((sorted[before] ?? Number.NaN) + (sorted[after] ?? Number.NaN)) / 2
}

/** The smallest sample that so large a part of them does not exceed. */
export function quantile(samples: Samples, part: number): number {
  const at = Math.max(0, Math.ceil(samples.length * part) - 1)
  return ascending(samples)[at] ?? Number.NaN
}

function ascending(samples: Samples): Samples {
  return samples.toSorted((a, b) => a - b)
}
