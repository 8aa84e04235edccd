/**
 * Real child processes: programs written to a folder, started, followed line by line, and always gone when
 * their test is over.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { compiled } from './compiled.js'
import { newFolder, within } from './fixture.js'

export const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

export interface Program {
  readonly process: ChildProcess
  readonly lines: string[]
  readonly errors: string[]
  /** Resolves with how it ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  /** The next line that matches, counting those that came already. */
  line(matches: RegExp, ms?: number): Promise<string>
  onLine(listen: (line: string) => void): void
}

export function start(
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Program {
  const child = spawn(process.execPath, args, {
    cwd: options.cwd ?? packageRoot,
    env: cleanEnvironment(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [lines, errors] = [[] as string[], [] as string[]]
  const listeners = new Set<(line: string) => void>()
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    for (const listen of listeners) listen(line)
  })
  createInterface(child.stderr).on('line', (line) => errors.push(line))
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal })),
  )
  return {
    process: child,
    lines,
    errors,
    ended,
    onLine: (listen) => void listeners.add(listen),
    line: (matches, ms = 20_000) => {
      const found = lines.find((line) => matches.test(line))
      if (found !== undefined) return Promise.resolve(found)
      const arrival = new Promise<string>((resolve, reject) => {
        listeners.add((line) => matches.test(line) && resolve(line))
        void ended.then(({ code, signal }) =>
          reject(
            new Error(`ended with ${code ?? signal} before ${matches}\n${[...lines, ...errors].join('\n')}`),
          ),
        )
      })
      return within(ms, `a line like ${matches}, after:\n${[...lines, ...errors].join('\n')}`, arrival)
    },
  }
}

/** Starts a TypeScript program of the tests; `flags` are Node's. */
export function startCompiled(
  child: string,
  args: readonly (string | number | boolean)[],
  { flags = [], ...options }: { flags?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
): Program {
  return start([...flags, fileURLToPath(compiled(child)), ...args.map(String)], options)
}

/** Starts, waits for the end, and answers with everything it said. */
export async function finish(
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>>; ms?: number } = {},
) {
  const program = start(args, options)
  const end = await within(options.ms ?? 30_000, `node ${args.join(' ')} ends by itself`, program.ended)
  return { ...end, text: program.lines.join('\n'), errors: program.errors.join('\n') }
}

/** A runner's own variables would make a child think that it is part of the run. */
function cleanEnvironment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|VITE_|NODE_OPTIONS|NODE_ENV|TEST$|npm_)/.test(name),
  )
  return { ...Object.fromEntries(kept), ...more }
}

/** A project of its own in which `sluicedb` and the named packages are installed as links. */
export async function newProject(
  files: Readonly<Record<string, string>>,
  packages: readonly string[] = [],
): Promise<string> {
  const folder = await newFolder()
  await writeFiles(folder, {
    'package.json': JSON.stringify({ name: 'project', private: true, type: 'module' }),
    ...files,
  })
  await mkdir(join(folder, 'node_modules'), { recursive: true })
  await symlink(packageRoot.replace(/\/$/, ''), join(folder, 'node_modules', 'sluicedb'))
  for (const name of packages) {
    await mkdir(dirname(join(folder, 'node_modules', name)), { recursive: true })
    await symlink(join(packageRoot, 'node_modules', name), join(folder, 'node_modules', name))
  }
  return folder
}

export async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
}
