/**
 * The command as a process. In a file, and so in a process, of its own: Linux starts no process (ENOMEM) from one that has reserved
 * as much address space as many databases in a row do, until what they reserved is collected.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../support/child.js'
import bankApp from '../support/apps/bank-app.js'
import { openFor } from '../support/fixture.js'
import { makeBank, sluiceJson } from './sluice.js'

const entry = join(packageRoot, 'dist/bindings/cli/main.js')

const child = (...args: readonly string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [entry, ...args], { timeout: 20_000 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })

test('the installed command runs as a process: output, exit code, and an end when the reader goes away', async () => {
  const { path } = await makeBank({ deposits: 40 })
  const info = await child('info', path, '--json')
  expect({ code: info.code, err: info.err }).toEqual({ code: 0, err: '' })
  expect(JSON.parse(info.out)).toEqual(await sluiceJson('info', path))
  expect((await child('nonsense')).code).toBe(2)
  const piped = await new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile('bash', ['-o', 'pipefail', '-c', `"${process.execPath}" "${entry}" log "${path}" | head -1`], { timeout: 20_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    )
  })
  expect(piped.err).toBe('')
  expect(piped.out).toContain('bank.openAccount')
})

test('a database that is open elsewhere is looked at by verify, and refused by info', async () => {
  const { path } = await makeBank()
  const db = await openFor(bankApp, { path, durability: 'os' })
  const verify = await child('verify', path)
  expect(verify.err).toContain('a moment of it')
  expect(verify.code).toBe(0)
  const info = await child('info', path)
  expect({ code: info.code, err: info.err }).toEqual({ code: 1, err: expect.stringContaining('DATABASE_LOCKED') })
  await db.close()
})
