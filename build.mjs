/**
 * The second half of `npm run build`. `tsc` has compiled every module for itself into dist/; here the entries of the package become
 * bundles of it that share their chunks. A thread loads a handful of files then and not a hundred and forty, and is there in less
 * than half the time (docs/decisions/0027-bundled-entries.md). Modules that are no entry stay as tsc has left them: benchmarks and
 * tests of internals import them.
 */
import { readdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const dist = fileURLToPath(new URL('./dist', import.meta.url))
/** Beside the entries of threads, which chunks name by their address (`new URL('./worker-main.js', import.meta.url)`). */
const chunks = 'engine/worker'

for (const file of readdirSync(`${dist}/${chunks}`)) if (file.startsWith('chunk-')) rmSync(`${dist}/${chunks}/${file}`)
await build({
  absWorkingDir: dist,
  entryPoints: ['index.js', 'bindings/adapters/index.js', 'bindings/envelopes/index.js', 'bindings/nats/index.js', 'bindings/testing/index.js', 'bindings/cli/main.js', `${chunks}/worker-main.js`, `${chunks}/log-main.js`, `${chunks}/checkpoint-main.js`],
  outdir: dist,
  outbase: dist,
  allowOverwrite: true,
  chunkNames: `${chunks}/chunk-[hash]`,
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
})
