/** The example application, as a stranger starts it: copied, with the packed package installed, by `npm start`. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { finish, packageRoot, start } from '../support/child.js'

const execute = promisify(execFile)
let project: string

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-example-'))
  project = join(folder, 'marketplace')
  await cp(join(packageRoot, 'examples/marketplace'), project, { recursive: true })
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]
  const { stdout } = await execute('npm', pack, { cwd: packageRoot })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  const install = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--omit=dev']
  await execute('npm', [...install, join(folder, filename)], { cwd: project })
  await mkdir(join(project, 'node_modules'), { recursive: true })
  await symlink(join(packageRoot, 'node_modules/tsx'), join(project, 'node_modules/tsx')) // what its devDependencies would bring
}, 90_000)
afterAll(() => rm(join(project, '..'), { recursive: true, force: true }))

const numbers = (text: string, line: string): Record<string, number> =>
  Object.fromEntries(
    [...(new RegExp(`^${line} \\{(.*)\\}$`, 'm').exec(text)?.[1] ?? '').matchAll(/(\w+): (\d+)/g)].map(
      ([, name, value]) => [name!, Number(value)],
    ),
  )

test('is started as its README says', async () => {
  const { scripts, dependencies } = JSON.parse(
    await readFile(join(packageRoot, 'examples/marketplace/package.json'), 'utf8'),
  ) as { scripts: { start: string }; dependencies: Record<string, string> }
  const { version } = JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')) as { version: string }
  expect(scripts.start).toBe('tsx main.ts')
  expect(dependencies['sluicedb']).toBe(`^${version}`)
})

test('sells what there is, takes back what was not paid, and adds up', { timeout: 60_000 }, async () => {
  const { code, text, errors } = await finish(['--import', 'tsx', 'main.ts'], { cwd: project, ms: 50_000 })
  expect([code, errors]).toEqual([0, ''])
  const [checkouts, orders, stock] = ['checkouts', 'orders', 'stock'].map((line) => numbers(text, line))
  expect(checkouts!['done']! + checkouts!['CONSTRAINT']!).toBe(200)
  expect(orders!['placed']).toBe(0)
  expect(orders!['paid']! + orders!['declined']! + orders!['delivered']!).toBe(checkouts!['done'])
  expect(orders!['declined']).toBeGreaterThan(0)
  expect(orders!['delivered']).toBeGreaterThan(0)
  expect(stock).toMatchObject({ together: 720, reserved: 0 })
  expect(text).toMatch(/^ann has to deliver \{ parcels: [1-9]/m)
  expect(text).toMatch(/^running low \[ '/m)
})

test('keeps its rows, and serves them over HTTP', { timeout: 90_000 }, async () => {
  const args = ['--import', 'tsx', 'main.ts', '--path', './data']
  expect((await finish(args, { cwd: project, ms: 50_000 })).code).toBe(0)
  const program = start([...args, '--http', '0'], { cwd: project })
  const [, origin] = /(http:\/\/localhost:\d+)/.exec(await program.line(/openapi/, 50_000))!
  const response = await fetch(`${origin}/call/shipping/dashboard`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ seller: 'ann' }),
  })
  const { value } = (await response.json()) as { value: { parcels: number; list: { seller: string }[] } }
  expect(value.list).toHaveLength(value.parcels)
  expect(new Set(value.list.map((parcel) => parcel.seller))).toEqual(new Set(['ann']))
  program.process.kill('SIGINT')
  expect((await program.ended).code).toBe(0)
})
