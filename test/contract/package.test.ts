/**
 * The package as strangers get it: packed, installed into an empty project, used from plain JavaScript,
 * from compiled TypeScript and through tsx.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { userCompilerOptions } from '../support/user-compiler-options.js'
import { finish, packageRoot, writeFiles } from '../support/child.js'
import { appModule, mainModule } from '../support/programs.js'

const execute = promisify(execFile)
const typescriptMain = `
import { open, type RowOf } from 'sluicedb'
import { httpHandler, toNode, type HttpHandler } from 'sluicedb/http'
import application, { count, counting } from './app.js'
const row: RowOf<typeof counting.tables.counter> = { id: 'x', n: 1 }
await using db = await open(application, { workers: 1, path: './typed-db' })
const n: number = await db.call(count, { id: row.id })
const handler: HttpHandler = httpHandler(db, { expose: { tables: [counting.tables.counter] }, authorize: (request) => request.method === 'GET' })
void toNode(handler)
for await (const event of db.events(counting.events.counted, { from: 'beginning' })) {
  const total: number = event.payload.n
  console.log('typed', n, total, db.table(counting.tables.counter).get('x')?.n)
  break
}
// @ts-expect-error a wrong column does not compile
void (() => db.call(count, { idd: 'x' }))
`
const options = {
  ...userCompilerOptions,
  types: [],
  outDir: 'out',
  rootDir: 'src',
  declaration: true,
}

let project: string
let packed: {
  readonly filename: string
  readonly files: readonly { readonly path: string; readonly size: number }[]
  readonly unpackedSize: number
}

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sluice-package-'))
  const { stdout } = await execute(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', project],
    { cwd: packageRoot },
  )
  ;[packed] = JSON.parse(stdout) as [typeof packed]
  await writeFiles(project, {
    'package.json': JSON.stringify({ name: 'stranger', private: true, type: 'module' }),
    'app.js': appModule,
    'main.js': mainModule('{ workers: 2, path: "./js-db" }'),
    'src/app.ts': appModule,
    'src/main.ts': typescriptMain,
    'src/console.d.ts': 'declare const console: { log(...parts: unknown[]): void }',
    'tsconfig.json': JSON.stringify({ compilerOptions: options, include: ['src'] }),
  })
  await execute(
    'npm',
    ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', `./${packed.filename}`],
    { cwd: project },
  )
}, 60_000)
afterAll(() => rm(project, { recursive: true, force: true }))

describe('the tarball', () => {
  test('holds the program and its declarations, and nothing of the workshop', () => {
    const paths = packed.files.map((file) => file.path)
    expect(paths).toContain('dist/index.js')
    expect(paths).toContain('dist/index.d.ts')
    expect(paths).toContain('README.md')
    expect(
      paths.filter(
        (path) =>
          /(^|\/)(test|bench|examples|node_modules|\.ci)\//.test(path) || /\.(tsbuildinfo|map)$/.test(path),
      ),
    ).toEqual([])
    expect(paths.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([])
    expect(packed.unpackedSize).toBeLessThan(4 * 2 ** 20)
  })

  test('depends at run time on lmdb, flatbuffers and piscina only, and runs no script on install', async () => {
    const manifest = JSON.parse(
      await readFile(join(project, 'node_modules/sluicedb/package.json'), 'utf8'),
    ) as { dependencies: object; scripts?: Record<string, string>; type: string; engines: { node: string } }
    expect(Object.keys(manifest.dependencies).sort()).toEqual(['flatbuffers', 'lmdb', 'piscina'])
    expect(
      Object.keys(manifest.scripts ?? {}).filter((name) => /install|prepare|prepack/.test(name)),
    ).toEqual([])
    expect([manifest.type, manifest.engines.node]).toEqual(['module', '>=20.19'])
  })

  test('shows its doors only: other paths of the package cannot be imported', async () => {
    await writeFiles(project, {
      'door.js':
        "for (const path of ['sluicedb/dist/index.js', 'sluicedb/engine', 'sluicedb/dist/engine/index.js']) await import(path).then(() => console.log('open', path), (error) => console.log(error.code))\nconsole.log(Object.keys(await import('sluicedb')).sort().join())\nconsole.log(Object.keys(await import('sluicedb/http')).sort().join())\nconsole.log(Object.keys(await import('sluicedb/envelopes')).sort().join())\nconsole.log(Object.keys(await import('sluicedb/nats')).sort().join())\nconsole.log(Object.keys(await import('sluicedb/testing')).sort().join())",
    })
    const { text } = await finish(['door.js'], { cwd: project })
    expect(text.split('\n').slice(0, 3)).toEqual(Array(3).fill('ERR_PACKAGE_PATH_NOT_EXPORTED'))
    for (const name of ['app', 'column', 'describe', 'open', 'service', 'table', 'Position', 'SluiceError'])
      expect(text.split('\n')[3]!.split(',')).toContain(name)
    expect(text.split('\n')[4]).toBe('httpHandler,jsonSchemas,toNode')
    expect(text.split('\n')[5]).toBe('cloudEventsMediaType,fromBinaryMode,fromCloudEvents,fromDebezium,toBinaryMode,toCloudEvents,toDebezium')
    expect(text.split('\n')[6]).toBe('ingest,publish')
    expect(text.split('\n')[7]).toBe('given,testDatabase')
  })
})

describe('in a fresh project', () => {
  test('plain JavaScript, two workers, on disk, twice', { timeout: 30_000 }, async () => {
    expect(await finish(['main.js'], { cwd: project })).toMatchObject({
      code: 0,
      errors: '',
      text: expect.stringContaining('counted 2 2') as unknown,
    })
    expect(await finish(['main.js'], { cwd: project })).toMatchObject({
      code: 0,
      errors: '',
      text: expect.stringContaining('counted 4 4') as unknown,
    })
  })

  test(
    'compiled TypeScript: it compiles without @types/node, declarations of the user too, and runs',
    { timeout: 60_000 },
    async () => {
      const compiler = join(packageRoot, 'node_modules/typescript/lib/tsc.js')
      const compiled = await finish([compiler, '-p', 'tsconfig.json'], { cwd: project, ms: 50_000 })
      expect([compiled.code, compiled.text]).toEqual([0, ''])
      expect(existsSync(join(project, 'out/app.d.ts'))).toBe(true)
      expect(await finish(['out/main.js'], { cwd: project })).toMatchObject({
        code: 0,
        errors: '',
        text: expect.stringContaining('typed 1 1 1') as unknown,
      })
    },
  )

  test('TypeScript through tsx, with a worker', { timeout: 30_000 }, async () => {
    await symlink(join(packageRoot, 'node_modules/tsx'), join(project, 'node_modules/tsx'))
    await rm(join(project, 'typed-db'), { recursive: true, force: true })
    expect(await finish(['--import', 'tsx', 'src/main.ts'], { cwd: project })).toMatchObject({
      code: 0,
      errors: '',
      text: expect.stringContaining('typed 1 1 1') as unknown,
    })
  })
})
