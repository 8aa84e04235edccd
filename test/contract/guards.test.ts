/** "Where the application may live" (api.md, section 1): each way to run a program, as a real program. */
import { join } from 'node:path'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'
import { app, open, service, table, column as c } from 'sluicedb'
import bankApp from '../support/apps/bank-app.js'
import { finish, newProject } from '../support/child.js'
import { openFor, refused } from '../support/fixture.js'
import { appModule, definitions, mainModule, oneFile } from '../support/programs.js'

const works = /^counted 2 2$/m
const refusedOpen = /^refused APP_NOT_LOADED (.*)$/m
const times = (text: string, line: string) => text.split('\n').filter((it) => it === line).length

interface Case {
  readonly files: Readonly<Record<string, string>>
  readonly run?: readonly string[]
  readonly packages?: readonly string[]
  readonly expected: RegExp
  /**
   * How often the program itself may run: a worker that runs it again is the accident these guards are for.
   */
  readonly runs?: number
  readonly loads?: number
}
const oneWorker = '{ workers: 1 }'
const cases: Readonly<Record<string, Case>> = {
  'node: a module of its own, two workers': {
    files: { 'app.js': appModule, 'main.js': mainModule('{ workers: 2 }') },
    expected: works,
    loads: 3,
  },
  'node: a named export is found as well': {
    files: {
      'app.js': `${definitions()}\nexport const other = 1, application = app(import.meta.url, [counting])`,
      'main.js': mainModule(oneWorker).replace('import application, {', 'import { application,'),
    },
    expected: works,
  },
  'node: app and open() in one file without workers': {
    files: { 'main.js': oneFile('{}') },
    expected: works,
  },
  'node: app and open() in one file with workers, as the entry': {
    files: { 'main.js': oneFile(oneWorker) },
    expected: refusedOpen,
  },
  'node: app and open() in one file, imported by the entry': {
    files: { 'one.js': oneFile(oneWorker), 'main.js': "import './one.js'" },
    expected: refusedOpen,
  },
  'node: the entry defines the app, another module opens': {
    files: {
      'main.js': `${definitions()}\nimport { go } from './go.js'\nconsole.log('runs the program')\nconst application = app(import.meta.url, [counting])\nexport default application\nawait go(application)`,
      'go.js': `import { open } from 'sluicedb'\nexport async function go(application) { try { await open(application, ${oneWorker}); console.log('opened') } catch (error) { console.log('refused', error.code, error.message.replaceAll('\\n', ' ')) } }`,
    },
    expected: refusedOpen,
  },
  'node: the app module does not export the app': {
    files: {
      'app.js': `${definitions()}\nconst application = app(import.meta.url, [counting])\nglobalThis.application = application`,
      'main.js': mainModule(oneWorker)
        .replace('import application, {', 'import {')
        .replace('open(application', 'open(globalThis.application'),
    },
    expected: refusedOpen,
  },
  'node: the app module throws in a worker': {
    files: {
      'app.js': `import { isMainThread } from 'node:worker_threads'\nif (!isMainThread) throw new Error('not here')\n${appModule}`,
      'main.js': mainModule(oneWorker),
    },
    expected: refusedOpen,
  },
  'node: the app module opens a database when a worker loads it': {
    files: {
      'app.js': `import { isMainThread } from 'node:worker_threads'\nimport { open } from 'sluicedb'\n${appModule.replace('export default', 'const application =')}\nexport default application\nif (!isMainThread) await open(application).catch(() => console.log('swallowed'))`,
      'main.js': mainModule(oneWorker),
    },
    expected: refusedOpen,
  },
  'node: the worker loads other tables': {
    files: {
      'app.js': `import { isMainThread } from 'node:worker_threads'\n${appModule.replace('n: c.int() }, key', 'n: isMainThread ? c.int() : c.i32() }, key')}`,
      'main.js': mainModule(oneWorker),
    },
    expected: refusedOpen,
  },
  'node: the worker loads other procedures': {
    files: {
      'app.js': `import { isMainThread } from 'node:worker_threads'\n${appModule.replace("console.log('loads", "if (isMainThread) counting.procedure('extra', {}, () => 1)\nconsole.log('loads")}`,
      'main.js': mainModule(oneWorker),
    },
    expected: refusedOpen,
  },
  'node: the module option names nothing': {
    files: {
      'app.js': appModule,
      'main.js': mainModule("{ workers: 1, module: new URL('./nowhere.js', import.meta.url) }"),
    },
    expected: refusedOpen,
  },
  'node: the module option names the entry': {
    files: { 'app.js': appModule, 'main.js': mainModule('{ workers: 1, module: import.meta.url }') },
    expected: refusedOpen,
  },
  'node: the module option names a module that exports the app of another': {
    files: {
      'app.js': appModule,
      'again.js': "export { default } from './app.js'",
      'main.js': mainModule("{ workers: 1, module: new URL('./again.js', import.meta.url) }"),
    },
    expected: works,
  },
  'node: a worker of the user is a place to open as well': {
    files: {
      'app.js': appModule,
      'main.js':
        "import { Worker } from 'node:worker_threads'\nnew Worker(new URL('./thread.js', import.meta.url))",
      'thread.js': mainModule('{}'),
    },
    expected: works,
  },
  'node: a path with spaces and signs': {
    files: { 'ä folder #1%20/app.js': appModule, 'ä folder #1%20/main.js': mainModule(oneWorker) },
    run: ['ä folder #1%20/main.js'],
    expected: works,
  },
  'tsx: both modules TypeScript': {
    files: { 'app.ts': appModule, 'main.ts': mainModule(oneWorker) },
    run: ['--import', 'tsx', 'main.ts'],
    packages: ['tsx'],
    expected: works,
  },
  'tsx: its own command': {
    files: { 'app.ts': appModule, 'main.ts': mainModule('{ workers: 2 }') },
    run: ['node_modules/tsx/dist/cli.mjs', 'main.ts'],
    packages: ['tsx'],
    expected: works,
  },
  'tsx: app and open() in one file with workers': {
    files: { 'main.ts': oneFile(oneWorker) },
    run: ['--import', 'tsx', 'main.ts'],
    packages: ['tsx'],
    expected: refusedOpen,
  },
  'tsx: app and open() in one file, imported by the entry': {
    files: { 'one.ts': oneFile(oneWorker), 'main.ts': "import './one.js'" },
    run: ['--import', 'tsx', 'main.ts'],
    packages: ['tsx'],
    expected: refusedOpen,
  },
}

describe('programs', () => {
  test.each(Object.entries(cases))(
    '%s',
    { timeout: 40_000 },
    async (_, { files, run = ['main.js'], packages = [], expected, runs = 1, loads }) => {
      const project = await newProject(files, packages)
      const { text, errors, code } = await finish(run, { cwd: project })
      expect(`${text}\n${errors}`).toMatch(expected)
      expect(code, errors).toBe(0)
      expect(times(text, 'runs the program'), text).toBeLessThanOrEqual(runs)
      if (loads !== undefined) expect(times(text, 'loads the app')).toBeLessThanOrEqual(loads)
      // A refusal says what to do next.
      const [, message] = refusedOpen.exec(text) ?? []
      if (message !== undefined) expect(message.length).toBeGreaterThan(40)
    },
  )
})

describe('esbuild, with sluicedb external', () => {
  interface Bundle {
    readonly name: string
    readonly entries: readonly string[]
    readonly splitting: boolean
    readonly options: string
    readonly expected: RegExp
  }
  const bundles: readonly Bundle[] = [
    { name: 'one bundle, workers 0', entries: ['main.js'], splitting: false, options: '{}', expected: works },
    {
      name: 'one bundle, workers 1',
      entries: ['main.js'],
      splitting: false,
      options: oneWorker,
      expected: refusedOpen,
    },
    {
      name: 'two entries with splitting',
      entries: ['main.js', 'app.js'],
      splitting: true,
      options: oneWorker,
      expected: works,
    },
    {
      name: 'two entries without splitting',
      entries: ['main.js', 'app.js'],
      splitting: false,
      options: oneWorker,
      expected: refusedOpen,
    },
    {
      name: 'two entries without splitting, module named',
      entries: ['main.js', 'app.js'],
      splitting: false,
      options: "{ workers: 1, module: new URL('./app.js', import.meta.url) }",
      expected: works,
    },
  ]
  test.each(bundles)('$name', { timeout: 40_000 }, async ({ entries, splitting, options, expected }) => {
    const project = await newProject({ 'app.js': appModule, 'main.js': mainModule(options) })
    await build({
      entryPoints: entries.map((entry) => join(project, entry)),
      outdir: join(project, 'out'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      minify: true,
      splitting,
      external: ['sluicedb'],
      logLevel: 'error',
    })
    const { text, errors, code } = await finish(['out/main.js'], { cwd: project })
    expect(`${text}\n${errors}`).toMatch(expected)
    expect(code).toBe(0)
    expect(times(text, 'runs the program')).toBeLessThanOrEqual(1)
  })
})

describe('vitest, this very file', () => {
  const lamp = service('lamp', {
    tables: { state: table({ columns: { id: c.int(), on: c.bool() }, key: ['id'] }) },
  })
  const toggle = lamp.procedure('toggle', { input: { id: c.int() } }, (tx, it) => {
    const row = tx.db.state.row(it.id)
    if (row) row.on = !row.on
    else tx.db.state.insert({ id: it.id, on: true })
    return row?.on ?? true
  })
  const inline = app(import.meta.url, [lamp])

  test('an app beside open(), workers 0, works', async () => {
    const db = await openFor(inline)
    expect([await db.call(toggle, { id: 1 }), await db.call(toggle, { id: 1 })]).toEqual([true, false])
  })

  test('an app beside open(), with workers, is APP_NOT_LOADED before a worker starts', async () => {
    const started = performance.now()
    const error = await refused(open(inline, { workers: 1 }), 'APP_NOT_LOADED')
    expect(error.message).toContain('guards.test')
    expect(performance.now() - started).toBeLessThan(2_000)
  })

  test('an app in a module of its own, with workers, works', { timeout: 30_000 }, async () => {
    await openFor(bankApp, { workers: 2 })
  })

  test('and so it does when the workers have TypeScript to load', { timeout: 30_000 }, async () => {
    const db = await openFor(bankApp, { workers: 1, module: new URL('../support/apps/bank-app.ts', import.meta.url) })
    expect(db.stats().workers).toBe(1)
  })
})
