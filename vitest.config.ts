import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { compiledApplications } from './test/support/compiled.js'

/**
 * Tests of the public surface run against the build (`dist`), because workers can only load JavaScript: `npm test` builds first.
 * Tests of internals import the TypeScript sources; what their threads and processes load is compiled before (test/support/compiled.ts).
 * The fault table has a run of its own, and so have the types, whose budget of processor time neighbours would spend. `SLUICE_V8_FLAGS`
 * are flags for the processes that run tests (npm run test:soak -- --flags).
 */
export default defineConfig({
  plugins: [compiledApplications],
  resolve: {
    alias: {
      'sluicedb/http': fileURLToPath(new URL('./dist/bindings/adapters/index.js', import.meta.url)),
      'sluicedb/testing': fileURLToPath(new URL('./dist/bindings/testing/index.js', import.meta.url)),
      'sluicedb/envelopes': fileURLToPath(new URL('./dist/bindings/envelopes/index.js', import.meta.url)),
      'sluicedb/nats': fileURLToPath(new URL('./dist/bindings/nats/index.js', import.meta.url)),
      sluicedb: fileURLToPath(new URL('./dist/index.js', import.meta.url)),
    },
  },
  test: {
    globalSetup: './test/support/compiled.ts',
    include: ['test/**/*.test.ts'],
    exclude: ['test/faults/**', 'test/types/**', '**/node_modules/**'],
    pool: 'forks',
    execArgv: (process.env['SLUICE_V8_FLAGS'] ?? '').split(' ').filter((flag) => flag !== ''),
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    server: { deps: { external: [/\/dist\//] } },
  },
})
