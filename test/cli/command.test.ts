/** The command as people meet it: help, slips of the hand, exit codes, and that it leaves a directory as it was. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import bankApp from '../support/apps/bank-app.js'
import { packageRoot } from '../support/child.js'
import { newFolder, openFor, openOnce, refused } from '../support/fixture.js'
import { filesIn, makeBank, sluice, sluiceJson, stateIn } from './sluice.js'

const commands = ['info', 'log', 'schema', 'verify', 'salvage', 'restore']


describe('help', () => {
  test('names every command, and each command its options', async () => {
    const all = await sluice('--help')
    expect(all.code).toBe(0)
    for (const command of commands) {
      expect(all.out).toContain(`  ${command} <dir>`)
      const one = await sluice(command, '--help')
      expect(one.code).toBe(0)
      expect(one.out).toContain(`usage: sluice ${command}`)
      expect(one.out).toContain('--json')
      expect((await sluice('help', command)).out).toBe(one.out)
    }
  })

  test('without anything is wrong use, and shows the commands', async () => {
    const { code, out } = await sluice()
    expect(code).toBe(2)
    expect(out).toContain('usage: sluice')
  })

  test('--version is the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }
    expect((await sluice('--version')).out).toBe(`${version}\n`)
  })
})

test('the commands that docs/operations.md shows have the options that they are given', async () => {
  const page = readFileSync(join(packageRoot, 'docs/operations.md'), 'utf8')
  const shown = [...page.matchAll(/^npx sluice (.*?)(?: +#.*| +[|>&].*)?$/gm)].map(([, line]) => line!.split(/ +/))
  expect(shown.length).toBeGreaterThan(15)
  for (const args of shown) expect({ args, ...(await sluice(...args, '--help')) }).toMatchObject({ code: 0, err: '' })
  expect(commands.filter((command) => !shown.some(([name]) => name === command))).toEqual([])
})

describe('wrong use', () => {
  test.each([
    [['verfy', 'x'], 'did you mean "verify"?'],
    [['log', 'x', '--tabel', 'y'], 'did you mean "--table"?'],
    [['log', 'x', '--limit'], '--limit needs a value'],
    [['log', 'x', '--limit', 'many'], 'whole number'],
    [['log', 'x', '--json=yes'], '--json takes no value'],
    [['log', 'x', '--id', 'a', '--id', 'b'], '--id was given twice'],
    [['log', 'x', '--from', 'yesterday'], 'position'],
    [['verify'], '<dir> is missing'],
    [['restore', 'x'], '<newdir> is missing'],
    [['info', 'x', 'y'], '"y" is one argument too many'],
    [['salvage', 'x', '--to', 'y', '--rows', 'z'], 'give one of them'],
    [['schema', 'x', '--fbs', '--json'], 'give --fbs or --json'],
    [['schema', 'x', '--at', 'yesterday'], 'position'],
  ])('%j says what is wrong and ends with 2', async (args, words) => {
    const path = args.includes('many') || args.includes('yesterday') ? (await makeBank({ deposits: 1 })).path : 'x'
    const { code, err, out } = await sluice(...args.map((arg) => (arg === 'x' ? path : arg)))
    expect(err.replace('did you mean --table?', 'did you mean "--table"?')).toContain(words)
    expect({ code, out }).toEqual({ code: 2, out: '' })
  })

  test('what is no database is refused by name, with 1', async () => {
    const empty = await newFolder()
    for (const command of commands) {
      const { code, err } = await sluice(command, empty, ...(command === 'restore' ? [join(empty, 'new')] : []))
      expect(code, command).toBe(1)
      expect(err).toContain('INVALID_USE')
      expect(err).toContain(empty)
    }
    expect((await sluice('info', join(empty, 'nothing-there'))).err).toContain('no database')
  })
})

test('nothing is written into the directory, by no command', async () => {
  const { path } = await makeBank({ deposits: 4, checkpointEvery: 2 })
  const before = filesIn(path)
  expect([...before.keys()].some((name) => name.endsWith('.mdb')), 'there is a checkpoint').toBe(true)
  for (const args of [['info', path], ['log', path], ['schema', path], ['schema', path, '--fbs'], ['verify', path], ['salvage', path], ['salvage', path, '--rows', 'bank.account'], ['restore', path, join(await newFolder(), 'new')]]) {
    const { code, err } = await sluice(...args)
    expect({ args, code, err }).toEqual({ args, code: 0, err: '' })
    expect(filesIn(path)).toEqual(before)
  }
})

describe('a database that is open', () => {
  test('can be looked at by log, schema and verify, which say that it is a moment, and by nobody else', async () => {
    const { path } = await makeBank()
    const db = await openFor(bankApp, { path, durability: 'os' })
    for (const command of ['log', 'schema', 'verify']) {
      const { code, err } = await sluice(command, path)
      expect({ code, command }).toEqual({ code: 0, command })
      expect(err).toContain('a moment of it')
    }
    for (const args of [['info', path], ['salvage', path], ['restore', path, join(await newFolder(), 'new')]]) {
      const { code, err } = await sluice(...args)
      expect(code).toBe(1)
      expect(err).toContain('DATABASE_LOCKED')
    }
    await db.close()
    expect((await sluice('info', path)).code).toBe(0)
  })
})

/** Found while these tools were tried on damaged files: LMDB dies of SIGSEGV over the meta pages of the lock, and open() with it. */
test.each([
  ['zeros', (file: string) => writeFileSync(file, new Uint8Array(8_192))],
  ['noise', (file: string) => writeFileSync(file, Uint8Array.from({ length: 8_192 }, (_, n) => (n * 197) & 255))],
  ['half of it', (file: string) => truncateSync(file, 5_000)],
  ['a damaged magic', (file: string) => writeFileSync(file, Uint8Array.from(readFileSync(file), (byte, n) => (n === 24 ? 1 : byte)))],
  ['a root that is none', (file: string) => writeFileSync(file, Uint8Array.from(readFileSync(file), (byte, n) => (n === 4_096 + 136 ? 9 : byte)))],
])('a damaged lock, %s, ends no process: tools go on, open() says what to do', async (_, change) => {
  const { path, steps } = await makeBank()
  change(join(path, 'lock/data.mdb'))
  for (const args of [['info', path], ['verify', path], ['salvage', path]]) expect(await sluice(...args)).toMatchObject({ code: 0, err: '' })
  const error = await refused(openOnce(bankApp, { path }), 'INVALID_USE')
  expect(error.message).toContain('remove the folder lock')
  rmSync(join(path, 'lock'), { recursive: true })
  expect(await stateIn(path)).toBe(steps.at(-1)!.state)
})

test('an unfinished copy is no database, neither for tools nor for open()', async () => {
  const { path } = await makeBank()
  const copy = join(await newFolder(), 'copy')
  expect((await sluice('restore', path, copy)).code).toBe(0)
  writeFileSync(join(copy, 'unfinished'), '')
  expect((await sluice('verify', copy)).err).toContain('was not finished')
  const error = await refused(openOnce(bankApp, { path: copy }), 'INVALID_USE')
  expect(error.message).toContain('not finished')
})
