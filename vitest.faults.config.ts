import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { compiledApplications } from './test/support/compiled.js'

/** The fault table: minutes, not seconds. What it runs and what it records is told in test/faults/row.ts. */
export default defineConfig({
  plugins: [compiledApplications],
  resolve: { alias: { sluicedb: fileURLToPath(new URL('./dist/index.js', import.meta.url)) } },
  test: {
    globalSetup: './test/support/compiled.ts',
    include: ['test/faults/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 600_000,
    hookTimeout: 60_000,
    server: { deps: { external: [/\/dist\//] } },
  },
})
