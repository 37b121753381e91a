import { defineConfig } from 'vitest/config'

const root = new URL('..', import.meta.url).pathname

export default defineConfig({
  test: {
    root,
    // Hundreds of processes of the same source are begun: it is compiled once.
    env: { NODE_COMPILE_CACHE: `${root}node_modules/.cache/compiled` },
    include: ['test/**/*.test.ts'],
    // They take minutes, and some of them the disk: test/long.config.ts and test/faults.config.ts are for them.
    exclude: ['test/long/**', 'test/faults/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
  },
})
