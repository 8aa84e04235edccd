/**
 * The sources of a test and of the engine under it as one module, made by esbuild: it runs at the speed of the build, and it can
 * be made of sources that were changed on the way. So a test can try what it finds (test/mutants).
 *
 * The application comes from the build, as everywhere.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const packages = createRequire(import.meta.url)

/** A line of a source that says something else. */
export interface Change {
  /** From the root of the repository. */
  readonly file: string
  readonly from: string
  readonly to: string
}

/** Loads a module of the repository with all that it imports, changed. Each answer is a world of its own. */
export async function bundled<T>(entry: string, changes: readonly Change[] = []): Promise<T> {
  // The name tells vitest to leave it alone, as it does with the build.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bundle-'))
  const file = join(folder, 'dist', 'bundle.mjs')
  try {
    const missed = new Set(changes)
    await build({
      entryPoints: [join(repository, entry)],
      outfile: file,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      sourcemap: 'inline',
      logLevel: 'silent',
      plugins: [outside, changing(changes, missed)],
    })
    for (const { file: missing, from } of missed) throw new Error(`${missing} is not part of ${entry}, or has no "${from}"`)
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as T
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const outside: Plugin = {
  name: 'outside',
  setup({ onResolve }) {
    onResolve({ filter: /^sluicedb$/ }, () => ({ path: pathToFileURL(join(repository, 'dist/index.js')).href, external: true }))
    onResolve({ filter: /^(lmdb|piscina)$/ }, ({ path }) => ({ path: pathToFileURL(packages.resolve(path)).href, external: true }))
  },
}

const changing = (changes: readonly Change[], missed: Set<Change>): Plugin => ({
  name: 'changing',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      let contents = readFileSync(path, 'utf8')
      // Modules that know their own place still do.
      contents = contents.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
      for (const change of changes) {
        if (relative(repository, path) !== change.file) continue
        const parts = contents.split(change.from)
        if (parts.length !== 2) throw new Error(`${change.file} has "${change.from}" ${parts.length - 1} times`)
        contents = parts.join(change.to)
        missed.delete(change)
      }
      return { contents, loader: 'ts' }
    })
  },
})
