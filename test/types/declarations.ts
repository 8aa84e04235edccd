/**
 * The package as a stranger installs it, as far as the compiler can see: our emitted declarations under the
 * real package.json, in the node_modules of a temporary project. So exports, `stripInternal` and the lib
 * reference are tested too.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('../../', import.meta.url))
const compiler = join(repository, 'node_modules/typescript/lib/tsc.js')
const typeRoots = [join(repository, 'node_modules/@types')]

const outputBytesMax = 64 * 2 ** 20

export interface Compilation {
  readonly ok: boolean
  readonly output: string
}

/** Runs tsc; what it prints is the failure message of a test. */
export function compile(project: string, ...options: string[]): Promise<Compilation> {
  return run([compiler, '-p', project, ...options])
}

/** Prints the CPU time of the process as one more of tsc's diagnostics. */
const printCpuTime = `process.on('exit', () => {
  const { user, system } = process.cpuUsage()
  console.log('CPU time: ' + (user + system) / 1e6 + 's')
})`

/**
 * Runs tsc and has it print what that took. One thread, so that CPU time is what an idle machine would need
 * at most.
 */
export function compileMeasured(project: string): Promise<Compilation> {
  const hook = `data:text/javascript,${encodeURIComponent(printCpuTime)}`
  return run(['--single-threaded', '--import', hook, compiler, '-p', project, '--extendedDiagnostics'])
}

function run(args: readonly string[]): Promise<Compilation> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { maxBuffer: outputBytesMax }, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: stdout + stderr })
    })
  })
}

export interface StrangersProject {
  readonly folder: string
  /** Writes a file into the project. */
  write(path: string, text: string): void
  /** Writes `tsconfig.<name>.json` beside the sources in `sources`, and answers its path. */
  config(sources: string, name: string, options: object, exclude?: readonly string[]): string
  remove(): void
}

export async function strangersProject(): Promise<StrangersProject> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-types-')))
  const installed = join(folder, 'node_modules/sluicedb')
  mkdirSync(installed, { recursive: true })
  cpSync(join(repository, 'package.json'), join(installed, 'package.json'))
  const write = (path: string, text: string) => {
    const file = join(folder, path)
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, text)
  }
  write('package.json', '{ "private": true, "type": "module" }')
  write(
    'emit.json',
    JSON.stringify({
      extends: join(repository, 'tsconfig.json'),
      compilerOptions: {
        rootDir: repository,
        outDir: join(installed, 'dist'),
        emitDeclarationOnly: true,
        typeRoots,
      },
      include: [],
      files: ['index.ts', 'bindings/adapters/index.ts', 'bindings/envelopes/index.ts', 'bindings/nats/index.ts'].map((file) => join(repository, file)),
    }),
  )
  const emitted = await compile(join(folder, 'emit.json'))
  if (!emitted.ok) throw new Error(`the declarations of the package do not compile:\n${emitted.output}`)
  return {
    folder,
    write,
    config: (sources, name, options, exclude = []) => {
      const path = `${sources}/tsconfig.${name}.json`
      write(
        path,
        JSON.stringify({
          compilerOptions: {
            strict: true,
            exactOptionalPropertyTypes: true,
            noUncheckedIndexedAccess: true,
            target: 'es2022',
            module: 'nodenext',
            lib: ['es2022'],
            types: [],
            typeRoots,
            noEmit: true,
            ...options,
          },
          include: ['*.ts'],
          exclude,
        }),
      )
      return join(folder, path)
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
