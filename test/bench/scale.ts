/** How much is done, and how often. */
export interface Scale {
  /** Small migrations. */
  readonly small: number
  /** Of the row with very many, `null`: it is left out. */
  readonly many: number | null
  /** Rows of the large migration. */
  readonly rows: number
  /** Megabytes of databases that are backed up. */
  readonly backups: readonly number[]
  /** Seconds of load. */
  readonly seconds: number
  /** The sizes of `--growth`. */
  readonly growth: {
    readonly migrations: readonly number[]
    readonly megabytes: readonly number[]
    readonly connections: readonly number[]
  }
  /** Rounds of what takes seconds, and of what takes milliseconds. */
  readonly rounds: { readonly few: number; readonly many: number }
}

export const FULL: Scale = {
  small: 1_000,
  many: 10_000,
  rows: 2_000_000,
  backups: [1, 100, 1_000],
  seconds: 8,
  growth: { migrations: [10, 100, 1_000, 10_000], megabytes: [1, 100, 2_000], connections: [1, 10, 100] },
  rounds: { few: 5, many: 15 },
}

/** Done within two minutes; its figures tell of a mistake, not of a percent. */
export const QUICK: Scale = {
  small: 200,
  many: null,
  rows: 200_000,
  backups: [1, 20],
  seconds: 1,
  growth: { migrations: [10, 100, 1_000], megabytes: [1, 100], connections: [1, 10, 100] },
  rounds: { few: 2, many: 5 },
}
