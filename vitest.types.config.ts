import { defineConfig } from 'vitest/config'

/** The types, one after the other: the compiler's time is measured, and a neighbour on the same processor doubles it. */
export default defineConfig({
  test: { include: ['test/types/**/*.test.ts'], pool: 'forks', maxWorkers: 1, fileParallelism: false, testTimeout: 30_000, hookTimeout: 30_000 },
})
