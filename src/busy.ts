import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** More requests within a second than dashboards and probes make. */
const MANY = 500
const SECOND_MS = 1_000
/** Bytes of V8's space for new objects of which more would not be noticed. */
const ENOUGH = 8 * 1024 * 1024

/**
 * Is to be called for each request. When many come within a second, the space for new objects, which memory.ts keeps small, may
 * grow, but no further than to what is enough: in the small one a busy process spends a sixth of its time on collecting garbage.
 */
export function growWhenBusy(): () => void {
  let since = Number.NEGATIVE_INFINITY
  let count = 0
  let growing = false
  return () => {
    count += 1
    if (count < MANY) return
    const now = performance.now()
    const many = now - since < SECOND_MS
    since = now
    count = 0
    // At rest V8 gives of it back.
    const may = many && sizeOfNew() < ENOUGH
    if (may !== growing) setFlagsFromString(`--semi-space-growth-factor=${may ? 2 : 1}`)
    growing = may
  }
}

function sizeOfNew(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? ENOUGH
}
