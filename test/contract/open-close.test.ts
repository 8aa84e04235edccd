/**
 * One holder per directory, nothing left running, nothing running while there is nothing to do: with real
 * processes.
 */
import { readdir, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import bankApp, { bank, deposit, openAccount } from '../support/apps/bank-app.js'
import { finish, newProject, start } from '../support/child.js'
import { newFolder, openFor, openOnce, refused } from '../support/fixture.js'
import { appModule, mainModule } from '../support/programs.js'

/** Opens, writes one row, says so, and then does what `after` says. */
const holder = (options: string, after: string) => `
import { open } from 'sluicedb'
import application, { count, counting } from './app.js'
const db = await open(application, ${options})
await db.call(count, { id: 'x' })
console.log('open')
${after}
`
const forEver = 'setInterval(() => {}, 1000)'

describe('one holder per directory', () => {
  test('the same process cannot open it twice; after close() it can', async () => {
    const path = await newFolder()
    const first = await openFor(bankApp, { path })
    await first.call(openAccount, { id: 'ann', balance: 1 })
    for (const other of [path, `${path}/`, join(path, 'x', '..')])
      await refused(openOnce(bankApp, { path: other }), 'DATABASE_LOCKED')
    await first.call(deposit, { to: 'ann', amount: 1, n: 1 })
    await first.close()
    const second = await openFor(bankApp, { path })
    expect(second.table(bank.tables.account).value('ann', 'balance')).toBe(2)
  })

  test('the same directory under another name is the same directory', async () => {
    const path = await newFolder()
    const alias = join(await newFolder(), 'alias')
    await openFor(bankApp, { path })
    await symlink(path, alias)
    // Locked, or refused because it is a link: either way it is said in our words.
    await refused(openOnce(bankApp, { path: alias }))
  })

  test('of several opens at the same time one gets it', async () => {
    const path = await newFolder()
    const opened = await Promise.allSettled([1, 2, 3].map(() => openFor(bankApp, { path })))
    expect(opened.filter((it) => it.status === 'fulfilled')).toHaveLength(1)
    for (const it of opened)
      if (it.status === 'rejected') expect(it.reason).toMatchObject({ code: 'DATABASE_LOCKED' })
  })

  test(
    'a second process is refused while the first lives, stopped or not, and gets it at once when the first is killed',
    { timeout: 60_000 },
    async () => {
      const path = await newFolder()
      const project = await newProject({
        'app.js': appModule,
        'hold.js': holder(`{ path: ${JSON.stringify(path)}, workers: 1 }`, forEver),
        'main.js': mainModule(`{ path: ${JSON.stringify(path)} }`),
      })
      const first = start(['hold.js'], { cwd: project })
      await first.line(/^open/)
      expect((await finish(['main.js'], { cwd: project })).text).toContain('refused DATABASE_LOCKED')
      first.process.kill('SIGSTOP')
      expect((await finish(['main.js'], { cwd: project })).text).toContain('refused DATABASE_LOCKED')
      first.process.kill('SIGKILL')
      await first.ended
      expect((await finish(['main.js'], { cwd: project })).text).toContain('counted 3 3')
    },
  )

  test('a refused open leaves the holder and its files alone', async () => {
    const path = await newFolder()
    const db = await openFor(bankApp, { path })
    await db.call(openAccount, { id: 'ann', balance: 1 })
    const before = (await readdir(path, { recursive: true })).sort()
    for (let round = 0; round < 5; round += 1)
      await refused(openOnce(bankApp, { path, workers: round % 2 }), 'DATABASE_LOCKED')
    // The holder may prepare its next segment meanwhile.
    expect(await readdir(path, { recursive: true })).toEqual(expect.arrayContaining(before))
    await db.call(deposit, { to: 'ann', amount: 1, n: 1 })
    expect(db.table(bank.tables.account).value('ann', 'balance')).toBe(2)
  })

  test('what is on disk is for its owner only', async () => {
    const path = join(await newFolder(), 'made', 'here')
    const db = await openFor(bankApp, { path })
    await db.call(openAccount, { id: 'ann' })
    const modeOf = async (name: string) => ((await stat(name)).mode & 0o777).toString(8)
    expect(await modeOf(path)).toBe('700')
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      const name = join(entry.parentPath, entry.name)
      expect(`${entry.name} ${await modeOf(name)}`).toBe(
        `${entry.name} ${entry.isDirectory() ? '700' : '600'}`,
      )
    }
  })

  test('a link among the files of a database is refused', async () => {
    const path = await newFolder()
    const db = await openOnce(bankApp, { path })
    await db.call(openAccount, { id: 'ann' })
    await db.close()
    const entries = await readdir(path, { recursive: true, withFileTypes: true })
    const largest = await Promise.all(
      entries
        .filter((it) => it.isFile())
        .map(async (it) => ({
          name: join(it.parentPath, it.name),
          size: (await stat(join(it.parentPath, it.name))).size,
        })),
    )
    const { name } = largest.sort((one, other) => other.size - one.size)[0]!
    const moved = join(await newFolder(), 'moved')
    const { rename } = await import('node:fs/promises')
    // Another file system is possible for a temporary folder; then there is nothing to show.
    await rename(name, moved)
    await symlink(moved, name)
    await refused(openOnce(bankApp, { path }))
    await rm(name)
    await rename(moved, name)
    await (await openOnce(bankApp, { path })).close()
  })
})

describe('what is left of a process', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['memory, workers 0', '{}'],
    ['memory, workers 2', '{ workers: 2 }'],
    ['disk, workers 0', '{ path: "./db" }'],
    ['disk, workers 2', '{ path: "./db", workers: 2 }'],
  ]
  test.each(cases)(
    '%s: it ends by itself, after close() and without',
    { timeout: 60_000 },
    async (_, options) => {
      const project = await newProject({
        'app.js': appModule,
        'closes.js': holder(options, "await db.close(); console.log('closed')"),
        'leaves.js': holder(options, "console.log('left', db.table(counting.tables.counter).get('x').n)"),
      })
      const closes = await finish(['closes.js'], { cwd: project, ms: 8_000 })
      expect([closes.code, closes.text.split('\n').at(-1), closes.errors]).toEqual([0, 'closed', ''])
      const leaves = await finish(['leaves.js'], { cwd: project, ms: 8_000 })
      expect([leaves.code, leaves.errors]).toEqual([0, ''])
      expect(leaves.text.split('\n').at(-1)).toBe(options.includes('path') ? 'left 2' : 'left 1')
    },
  )

  test('a pending answer keeps the process; nothing else does', { timeout: 30_000 }, async () => {
    const project = await newProject({
      'app.js': appModule,
      'main.js': holder(
        '{ path: "./db", workers: 1 }',
        "db.call(count, { id: 'x' }).then((n) => console.log('answered', n))",
      ),
    })
    const { code, text } = await finish(['main.js'], { cwd: project, ms: 8_000 })
    expect([code, text.split('\n').at(-1)]).toEqual([0, 'answered 2'])
  })

  test('idle, a database uses no CPU, also after a load', { timeout: 40_000 }, async () => {
    const idle = `
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const stream = (async () => { for await (const commit of db.changes()) void commit })()
const snapshot = db.snapshot()
for (let round = 0; round < 20; round += 1) await Promise.all(Array.from({ length: 200 }, (_, n) => db.call(count, { id: 'k' + n })))
await pause(700)
const before = process.cpuUsage()
await pause(1500)
const { user, system } = process.cpuUsage(before)
console.log('idle', Math.round((user + system) / 1000))
process.exit(0)`
    const used = cases.map(async ([name, options]) => {
      const project = await newProject({ 'app.js': appModule, 'main.js': holder(options, idle) })
      const { text, errors } = await finish(['main.js'], { cwd: project })
      const [, ms] = /^idle (\d+)$/m.exec(text) ?? []
      return { name, ms: Number(ms), errors }
    })
    for (const { name, ms, errors } of await Promise.all(used))
      expect(ms, `${name}: CPU milliseconds in 1500 ms of idleness\n${errors}`).toBeLessThan(30)
  })

  test(
    'opening and closing many times leaves no thread and no file behind',
    { timeout: 60_000 },
    async () => {
      const storm = `
import { open } from 'sluicedb'
import { readdirSync } from 'node:fs'
import application, { count } from './app.js'
const threads = () => readdirSync('/proc/self/task').length
const files = () => readdirSync('/proc/self/fd').length
const once = async (n) => {
  const db = await open(application, { path: n % 2 ? './db' : undefined, workers: n % 3, memory: { bytes: 2 ** 26 } })
  await db.call(count, { id: 'x' })
  await db.close()
}
for (let n = 0; n < 6; n += 1) await once(n)
const before = [threads(), files()]
for (let n = 0; n < 24; n += 1) await once(n)
await new Promise((resolve) => setTimeout(resolve, 200))
console.log('grew', threads() - before[0], files() - before[1], process.getActiveResourcesInfo().join())`
      const project = await newProject({ 'app.js': appModule, 'main.js': storm })
      const { text, code, errors } = await finish(['main.js'], { cwd: project, ms: 50_000 })
      const [, threads, files] = /^grew (-?\d+) (-?\d+)/m.exec(text) ?? []
      expect(code, errors).toBe(0)
      expect(Number(threads), text).toBeLessThanOrEqual(0)
      expect(Number(files), text).toBeLessThanOrEqual(1)
    },
  )
})

describe('while opening', () => {
  test('a signal that is aborted refuses the open, and the directory is free', async () => {
    const path = await newFolder()
    await refused(openOnce(bankApp, { path, signal: AbortSignal.abort() }), 'CANCELLED')
    for (const delay of [0, 1, 5, 20]) {
      const controller = new AbortController()
      setTimeout(() => controller.abort(), delay)
      const opened = await openOnce(bankApp, { path, workers: 1, signal: controller.signal }).catch(
        (error: { code: string }) => error.code,
      )
      if (typeof opened === 'string') expect(opened).toBe('CANCELLED')
      else await opened.close()
    }
    const db = await openFor(bankApp, { path })
    await db.call(openAccount, { id: 'ann' })
  })

  test('the number of partitions is fixed when the database is created', async () => {
    const path = await newFolder()
    const first = await openOnce(bankApp, { path, partitions: 4 })
    for (let n = 0; n < 20; n += 1) await first.call(openAccount, { id: `a${n}`, balance: n })
    await first.close()
    await refused(openOnce(bankApp, { path, partitions: 8 }), 'SCHEMA_MISMATCH', 'INVALID_USE')
    for (const workers of [0, 1, 2, 4]) {
      const db = await openOnce(bankApp, { path, workers })
      expect(db.table(bank.tables.account).count()).toBe(20)
      await db.call(deposit, { to: 'a3', amount: 1, n: workers })
      await db.close()
    }
  })

  test('every level of durability keeps what a closed database acknowledged, and receipts name it', async () => {
    for (const durability of ['fsync', 'os', 'memory'] as const) {
      const path = await newFolder()
      const db = await openOnce(bankApp, { path, durability })
      const receipt = await db.submit(openAccount, { id: 'ann', balance: 5 })
      expect(receipt.durability).toBe(durability)
      await db.close()
      const again = await openOnce(bankApp, { path, durability })
      expect(again.table(bank.tables.account).value('ann', 'balance')).toBe(5)
      await again.close()
    }
    const db = await openFor(bankApp, {})
    expect((await db.submit(openAccount, { id: 'ann' })).durability).toBe('memory')
  })

  test('await using closes', async () => {
    const path = await newFolder()
    {
      await using db = await openOnce(bankApp, { path })
      await db.call(openAccount, { id: 'ann', balance: 7 })
    }
    await using db = await openOnce(bankApp, { path })
    expect(db.table(bank.tables.account).value('ann', 'balance')).toBe(7)
  })
})
