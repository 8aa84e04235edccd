/** A file of JSON lines, read into a Map of objects: what one writes who needs no database. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const linesPerWrite = 4_096
const lineFeed = 0x0a

const rows = {
  prepare({ directory, plan, data }) {
    const file = openSync(join(directory, 'rows.jsonl'), 'w')
    for (let start = 0; start < plan.rows; start += linesPerWrite) {
      let text = ''
      for (let id = start; id < Math.min(start + linesPerWrite, plan.rows); id += 1) text += `${JSON.stringify(data.wideRow(id))}\n`
      writeSync(file, text)
    }
    closeSync(file)
  },
  reopen({ directory, plan, data }) {
    const bytes = readFileSync(join(directory, 'rows.jsonl'))
    const inMemory = new Map()
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(lineFeed, start)
      const row = JSON.parse(bytes.latin1Slice(start, end))
      inMemory.set(row.id, row)
      start = end + 1
    }
    if (inMemory.get(plan.rows >> 1) === undefined) throw new Error('the first read found nothing')
    return {
      digest() {
        let sum = 0
        for (const { balance } of inMemory.values()) sum += balance
        return data.rowsDigest(inMemory.size, sum)
      },
      leave() {},
    }
  },
}

export const restarters = { rows }
