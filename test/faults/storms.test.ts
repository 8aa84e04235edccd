/**
 * Row 34: open and close again and again, in every way that a program can end a database or forget to.
 *
 * The programs are real processes. What must be gone afterwards is counted by the kernel: threads in /proc/self/task, files
 * in /proc/self/fd; and by Node: `process.getActiveResourcesInfo()`. A process that forgets to close must end by itself.
 */
import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { open } from 'sluicedb'
import { fileURLToPath } from 'node:url'
import { describe } from 'vitest'
import { finish, newProject } from '../support/child.js'
import { newFolder } from '../support/fixture.js'
import { appModule } from '../support/programs.js'
import { faultRow } from './row.js'

const storm = fileURLToPath(new URL('./apps/storm.mjs', import.meta.url))

/** What a process does with an open database before it is over: each must end by itself, with this code and in time. */
const ends: Readonly<Record<string, { readonly text: string; readonly code?: number }>> = {
  'closes twice': { text: "await Promise.all([db.close(), db.close()]); console.log('end')" },
  'leaves it open': { text: "console.log('end')" },
  'leaves a call under way': { text: "void db.call(count, { id: 'x' }).then(() => console.log('end'))" },
  'leaves a stream, a snapshot and an iterator': {
    text: "db.snapshot(); const it = db.changes({ from: 'beginning' })[Symbol.asyncIterator](); await it.next(); void it.next().catch(() => undefined); console.log('end')",
  },
  'closes during calls': {
    text: "const calls = Promise.allSettled(Array.from({ length: 300 }, (_, n) => db.call(count, { id: 'k' + n }))); await db.close(); const codes = new Set((await calls).map((it) => it.status === 'fulfilled' ? 'ok' : it.reason.code)); if ([...codes].some((it) => it !== 'ok' && it !== 'DATABASE_CLOSED')) throw new Error([...codes].join()); console.log('end')",
  },
  'closes during streams and snapshots': {
    text: "const seen = (async () => { for await (const commit of db.changes({ from: 'beginning' })) void commit })().catch((error) => error.code); const snapshot = db.snapshot(); void db.call(count, { id: 'x' }); await new Promise((resolve) => setTimeout(resolve, 5)); await db.close(); const code = await seen; if (code !== undefined && code !== 'DATABASE_CLOSED') throw new Error(String(code)); let after = 'read'; try { snapshot.table(counting.tables.counter).get('x') } catch (error) { after = error.code } if (after !== 'DATABASE_CLOSED' && after !== 'INVALID_USE') throw new Error(after); console.log('end')",
  },
  'closes during a checkpoint': {
    text: "const made = db.checkpoint?.().then(() => 'ok', (error) => error.code); void db.call(count, { id: 'x' }); await db.close(); const code = await made; if (![undefined, 'ok', 'CANCELLED', 'DATABASE_CLOSED', 'INVALID_USE'].includes(code)) throw new Error(String(code)); console.log('end')",
  },
  'throws past it': { text: "console.log('end'); throw new Error('mine')", code: 1 },
  'leaves a promise rejected': { text: "console.log('end'); void Promise.reject(new Error('mine')); await new Promise((resolve) => setTimeout(resolve, 5_000))", code: 1 },
  'exits in the middle of calls': { text: "for (let n = 0; n < 50; n += 1) void db.call(count, { id: 'k' + n }).catch(() => undefined); console.log('end'); process.exit(7)", code: 7 },
  'opens it twice and fails, and leaves it': {
    text: "const second = await open(application, options).then(() => 'opened', (error) => error.code); if (options.path !== undefined && second !== 'DATABASE_LOCKED') throw new Error(second); console.log('end')",
  },
  'gives up opening another': {
    text: "const controller = new AbortController(); setTimeout(() => controller.abort(), 3); const second = await open(application, { ...options, path: options.path && './other', signal: controller.signal }).then((it) => it.close(), (error) => { if (error.code !== 'CANCELLED') throw error }); void second; console.log('end')",
  },
}

const places = ['{}', '{ workers: 1 }', "{ path: './db' }", "{ path: './db', workers: 1 }"]

const program = (options: string, text: string): string => `
import { open } from 'sluicedb'
import application, { count, counting } from './app.js'
const options = ${options}
const db = await open(application, options)
await db.call(count, { id: 'x' })
${text}
`

describe('storms', () => {
  faultRow(
    '34 storm',
    {
      title: 'open and close again and again',
      injected: '1,000 openings and closings in one process: in memory and with a path (14 %), with 0 workers and with 1 (4 %); some with calls, streams and snapshots under way',
      invariant: 'no thread, file, handle or active resource more than after the first ones; the directory is free; the process ends by itself; everything acknowledged is there',
      pr: 1_000,
      nightly: 20_000,
    },
    async (run) => {
      const folder = await newFolder()
      const { code, text, errors } = await finish([storm, folder, String(run.count), String(run.seed)], { ms: 300_000 })
      const [, report] = /^report (.*)$/m.exec(text) ?? []
      if (code !== 0 || report === undefined) throw new Error(`the storm ended with ${code}\n${text}\n${errors}`)
      const found = JSON.parse(report) as { opened: number; threads: number; files: number; resources: string[]; rssMiB: number; ms: number }
      run.figure('threads more than before', found.threads)
      run.figure('files more than before', found.files)
      run.figure('memory more than before', found.rssMiB, 'MiB')
      run.figure('per opening and closing', Math.round(found.ms / found.opened), 'ms')
      if (found.threads > 0 || found.files > 0) throw new Error(`left behind: ${report}`)
      if (found.resources.length > 0) throw new Error(`active resources are left: ${found.resources.join()}`)
      run.done(found.opened)
    },
  )

  faultRow(
    '34 ends',
    {
      title: 'a process ends with a database open, under way, or in an error of its own',
      injected: `${Object.keys(ends).length} programs, each in memory and with a path, with 0 workers and 1: ${Object.keys(ends).join('; ')}`,
      invariant: 'the process ends by itself with its own exit code; the directory opens at once and holds what was acknowledged; no file is left that an ordinary end would not leave',
      pr: Object.keys(ends).length * places.length,
      nightly: Object.keys(ends).length * places.length,
    },
    async (run) => {
      const project = await newProject({ 'app.js': appModule.replace("console.log('loads the app')", '') })
      const work = Object.entries(ends).flatMap(([name, end]) => places.map((options) => ({ name, options, ...end })))
      const application = ((await import(join(project, 'app.js'))) as { default: Parameters<typeof open>[0] }).default
      let next = 0
      let slowestMs = 0
      const runner = async (): Promise<void> => {
        while (next < work.length && !run.isOver) {
          const { name, options, text, code: wanted = 0 } = work[next]!
          const folder = join(project, `case-${next}`)
          next += 1
          await mkdir(folder)
          await symlink(join(project, 'app.js'), join(folder, 'app.js'))
          await symlink(join(project, 'node_modules'), join(folder, 'node_modules'))
          const { writeFile } = await import('node:fs/promises')
          await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
          await writeFile(join(folder, 'main.js'), program(options, text))
          const startedMs = performance.now()
          const ended = await finish(['--preserve-symlinks', 'main.js'], { cwd: folder, ms: 30_000 })
          slowestMs = Math.max(slowestMs, performance.now() - startedMs)
          if (ended.code !== wanted || !/^end$/m.test(ended.text)) throw new Error(`"${name}" with ${options} ended with ${ended.code}:\n${ended.text}\n${ended.errors}`)
          if (options.includes('path')) {
            const path = join(folder, 'db')
            const known = new Set(['log', 'lock', 'checkpoint', 'checkpoints'])
            const strange = (await readdir(path)).filter((it) => !known.has(it))
            if (strange.length > 0) throw new Error(`"${name}" leaves ${strange.join()}`)
            const db = await open(application, { path, memory: { bytes: 2 ** 26 } })
            await db.close()
          }
          run.done()
        }
      }
      await Promise.all([runner(), runner()])
      run.figure('slowest process', Math.round(slowestMs), 'ms')
    },
  )
})
