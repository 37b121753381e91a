/** The seed of this run, which `FC_SEED` sets, and the path of a failure to be replayed, which `FC_PATH` sets. */
export function givenSeed(): { readonly seed: number; readonly path: string | undefined } {
  const { FC_SEED, FC_PATH } = process.env
  return { seed: FC_SEED === undefined ? Date.now() % 2 ** 31 : Number(FC_SEED), path: FC_PATH }
}
