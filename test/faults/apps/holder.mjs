/** Opens a directory and counts until it is told to close. Arguments: path, workers, perhaps `once`. */
import { createInterface } from 'node:readline'
import { open } from '../../../dist/index.js'
import application, { count } from './storm-app.mjs'

const [path, workers, how] = process.argv.slice(2)
try {
  const db = await open(application, { path, workers: Number(workers), durability: 'os', memory: { bytes: 2 ** 25 } })
  console.log('open')
  if (how === 'once') await db.close()
  else {
    const input = createInterface(process.stdin)
    let isOver = false
    input.once('line', () => (isOver = true))
    while (!isOver) {
      console.log(`ack ${await db.call(count, { id: 'x' })}`)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    input.close()
    await db.close()
  }
} catch (error) {
  console.log(`refused ${error.code ?? error}`)
}
