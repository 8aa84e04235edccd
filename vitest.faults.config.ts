import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** The fault table: minutes, not seconds. What it runs and what it records is told in test/faults/row.ts. */
export default defineConfig({
  resolve: { alias: { sluicedb: fileURLToPath(new URL('./dist/index.js', import.meta.url)) } },
  test: {
    include: ['test/faults/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 600_000,
    hookTimeout: 60_000,
    server: { deps: { external: [/\/dist\//] } },
  },
})
