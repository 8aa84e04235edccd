/**
 * Modules of the tests that other threads and processes load, as JavaScript. A worker can load TypeScript through tsx, and
 * `test/contract/guards.test.ts` has it do so; but that costs each of them twice the processor time of all else that an opening
 * does, and the tests start thousands.
 *
 *   applications   the plugin makes an application that a test imports give `app()` the address of its JavaScript
 *   children       `startCompiled` of child.ts runs a program of the tests under plain Node
 *
 * vitest's configurations name this file twice: as a plugin, and as what is done before everything else (`setup`). The sources
 * become files of the same tree below `.compiled`, one by one. The build is there through a link: a thread must have it once.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { Plugin } from 'vitest/config'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(repository, '.compiled')
const isApplication = (path: string): boolean => /^(?:test\/.+[/-]app|bench\/workloads\/.+)\.ts$/.test(relative(repository, path))

/** The address of what became of a module of the repository. */
export const compiled = (path: string): string => pathToFileURL(join(folder, relative(repository, path).replace(/\.ts$/, '.js'))).href

export async function setup(): Promise<void> {
  const sources = ['engine', 'wal', 'query', 'bindings', 'bench', 'test'].flatMap((top) =>
    readdirSync(join(repository, top), { recursive: true, encoding: 'utf8' })
      .filter((file) => /(?<!\.d|\.test)\.ts$/.test(file) && !file.includes('node_modules'))
      .map((file) => join(repository, top, file)),
  )
  await build({
    absWorkingDir: repository,
    entryPoints: sources,
    outdir: folder,
    outbase: repository,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'error',
  })
  mkdirSync(folder, { recursive: true })
  if (!existsSync(join(folder, 'dist'))) symlinkSync(join(repository, 'dist'), join(folder, 'dist'))
}

export const compiledApplications: Plugin = {
  name: 'compiled applications',
  enforce: 'pre',
  transform(code, id) {
    if (!isApplication(id)) return undefined
    return { code: code.replaceAll('import.meta.url', JSON.stringify(compiled(id))), map: null }
  },
}
