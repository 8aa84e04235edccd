/**
 * A disk without room (issue S2): writing calls are refused with a word about the disk, reading goes on, and calls are
 * accepted again by themselves when there is room.
 *
 * The room is that of a process: its limit for the length of a file, set from outside and lifted again. The system refuses
 * to make a file longer, exactly where a full disk does, and nobody has to be root for it.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { open } from 'sluicedb'
import { expect, test } from 'vitest'
import application, { items } from '../support/apps/text-app.js'
import { newProject, start, type Program } from '../support/child.js'
import { newFolder } from '../support/fixture.js'

const KiB = 1_024
const MiB = 1_024 * KiB
const memory = { bytes: 2 ** 28 }

const app = `
import { app, column as c, service, table } from 'sluicedb'
const notes = service('notes', { tables: { item: table({ columns: { id: c.int(), text: c.text() }, key: ['id'] }) } })
export const items = notes.tables.item
export const putText = notes.procedure('putText', { input: { id: c.int(), text: c.text() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
})
export default app(import.meta.url, [notes])
`
/** Does what it reads, a line at a time, and says how it went. */
const main = `
import { createInterface } from 'node:readline'
import { open } from 'sluicedb'
import application, { items, putText } from './app.js'
const text = (id) => String(id).repeat(60_000).slice(0, 60_000)
const [path, workers] = [process.argv[2], Number(process.argv[3])]
let db
let acknowledged = 0
const put = () => db.call(putText, { id: acknowledged, text: text(acknowledged) }).then(() => { acknowledged += 1 })
const said = (error) => JSON.stringify({ code: error.code, retryable: error.retryable, details: error.details })
const commands = {
  open: async () => {
    db = await open(application, { path, workers, memory: { bytes: 2 ** 28 } })
    while (db.table(items).get(acknowledged) !== undefined) acknowledged += 1
    return 'open with ' + acknowledged
  },
  fill: async () => {
    for (;;) await put()
  },
  flood: async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, (_, n) => db.call(putText, { id: acknowledged + n, text: text(acknowledged + n) })))
    acknowledged += results.filter((one) => one.status === 'fulfilled').length
    return 'flood ' + results.map((one) => one.reason?.code ?? 'done').join(' ')
  },
  read: async () => {
    const snapshot = db.snapshot()
    let right = 0
    for (let id = 0; id < acknowledged; id += 1) if (snapshot.table(items).get(id)?.text === text(id)) right += 1
    snapshot.close()
    let followed = 0
    for await (const _ of db.changes({ from: 'beginning' })) {
      followed += 1
      if (followed === acknowledged) break
    }
    return 'read ' + right + ' and ' + followed + ' of ' + acknowledged
  },
  wait: async () => {
    for (let turn = 0; turn < 100; turn += 1) {
      try {
        await put()
        return 'accepted'
      } catch (error) {
        if (error.code !== 'OUT_OF_SPACE') throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    return 'never accepted'
  },
  more: async () => {
    for (let n = 0; n < 150; n += 1) await put()
    return 'more'
  },
  close: async () => {
    await db.close()
    return 'closed with ' + acknowledged
  },
}
console.log('ready')
for await (const line of createInterface(process.stdin)) {
  const [number, command] = line.split(' ')
  try {
    console.log(number + ' ' + await commands[command]())
  } catch (error) {
    console.log(number + ' refused: ' + said(error) + ' ' + error.message)
  }
  if (command === 'close') break
}
process.stdin.destroy()
`

async function startMain(path: string, workers: number): Promise<Program> {
  const project = await newProject({ 'app.js': app, 'main.js': main })
  const program = start([join(project, 'main.js'), path, String(workers)], { cwd: project })
  await program.line(/^ready/)
  return program
}

/** No file of the process may become longer. */
function limitFiles(program: Program, bytes: number): void {
  const limit = bytes === Infinity ? 'unlimited' : String(bytes)
  execFileSync('prlimit', [`--pid=${program.process.pid}`, `--fsize=${limit}:unlimited`])
}

let asked = 0
async function ask(program: Program, command: string): Promise<string> {
  const number = `#${(asked += 1)} `
  program.process.stdin!.write(`${number}${command}\n`)
  return (await program.line(new RegExp(`^${number}`))).slice(number.length)
}

test.each([0, 1])('workers %i: writing calls are refused while the disk is full, everything else goes on', async (workers) => {
  const path = await newFolder()
  const program = await startMain(path, workers)
  // The first segment has its 4 MiB, the second one cannot have all of its 8.
  limitFiles(program, 6.5 * MiB)
  expect(await ask(program, 'open')).toBe('open with 0')
  const refused = await ask(program, 'fill')
  expect(refused).toMatch(/^refused: \{"code":"OUT_OF_SPACE","retryable":false,"details":\{"disk":true\}\} .*Make room/)
  expect(await ask(program, 'read')).toMatch(/^read (\d+) and \1 of \1$/)
  // The limit is lifted: no reopening, and more than the segments that were there.
  limitFiles(program, Infinity)
  expect(await ask(program, 'wait')).toBe('accepted')
  expect(await ask(program, 'more')).toBe('more')
  const closed = await ask(program, 'close')
  const { code, signal } = await program.ended
  expect({ code, signal, errors: program.errors }).toEqual({ code: 0, signal: null, errors: [] })

  const acknowledged = Number(/closed with (\d+)/.exec(closed)![1])
  expect(acknowledged).toBeGreaterThan(150)
  await using db = await open(application, { path, memory, workers: 0 })
  for (let id = 0; id < acknowledged; id += 1) expect(db.table(items).get(id)?.text.slice(0, 9)).toBe(String(id).repeat(9).slice(0, 9))
})

test('calls that were taken before the disk was full are answered, not lost', async () => {
  const program = await startMain(await newFolder(), 0)
  limitFiles(program, 4.5 * MiB)
  await ask(program, 'open')
  let answers = ''
  while (!answers.includes('refused')) {
    answers = await ask(program, 'flood')
    expect(answers).toMatch(/^flood( done){8}$|^refused: .*OUT_OF_SPACE|^flood( OUT_OF_SPACE){8}$/)
    if (answers.includes('OUT_OF_SPACE')) break
  }
  expect(await ask(program, 'read')).toMatch(/^read (\d+) and \1 of \1$/)
  await ask(program, 'close')
  await program.ended
})

test('a database on a full disk opens for reading, and takes calls once there is room', async () => {
  const path = await newFolder()
  const first = await startMain(path, 0)
  await ask(first, 'open')
  limitFiles(first, 5 * MiB)
  await ask(first, 'fill')
  const acknowledged = /\d+/.exec(await ask(first, 'close'))![0]
  await first.ended

  const second = await startMain(path, 0)
  // What is there may be written over; nothing may grow.
  limitFiles(second, 5 * MiB)
  expect(await ask(second, 'open')).toBe(`open with ${acknowledged}`)
  expect(await ask(second, 'read')).toBe(`read ${acknowledged} and ${acknowledged} of ${acknowledged}`)
  expect(await ask(second, 'fill')).toMatch(/^refused: \{"code":"OUT_OF_SPACE"/)
  limitFiles(second, Infinity)
  expect(await ask(second, 'wait')).toBe('accepted')
  await ask(second, 'close')
  await second.ended
})

test('a new database on a full disk is refused with the path, and can be made when there is room', async () => {
  const path = await newFolder()
  const program = await startMain(path, 0)
  limitFiles(program, 256 * KiB)
  const refused = await ask(program, 'open')
  expect(refused).toMatch(/^refused: \{"code":"OUT_OF_SPACE","retryable":false,"details":\{"disk":true,"path":"[^"]+"\}\} .*make room/)
  expect(refused).toContain(path)
  limitFiles(program, Infinity)
  expect(await ask(program, 'open')).toBe('open with 0')
  expect(await ask(program, 'wait')).toBe('accepted')
  await ask(program, 'close')
  await program.ended
})
