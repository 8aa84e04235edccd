/**
 * Small programs as text, for tests that start real processes. Plain JavaScript that is also valid
 * TypeScript.
 */

/** Definitions only. */
export const definitions = (name = 'counting') => `
import { app, column as c, service, table } from 'sluicedb'
const counter = table({ columns: { id: c.text(), n: c.int() }, key: ['id'] })
export const counting = service('${name}', { tables: { counter }, events: { counted: { id: c.text(), n: c.int() } } })
export const count = counting.procedure('count', { input: { id: c.text() }, partition: (it) => it.id }, (tx, it) => {
  const row = tx.db.counter.row(it.id)
  if (row) row.n += 1
  else tx.db.counter.insert({ id: it.id, n: 1 })
  tx.emit('counted', { id: it.id, n: row ? row.n : 1 })
  return row ? row.n : 1
})
`
/** A module of its own: what api.md asks for. */
export const appModule = `${definitions()}
console.log('loads the app')
export default app(import.meta.url, [counting])
`
/** Opens, counts twice, reads, and says what came out; or says the code it was refused with. */
export const opening = (options: string) => `
try {
  const db = await open(application, ${options})
  await db.call(count, { id: 'x' })
  console.log('counted', await db.call(count, { id: 'x' }), db.table(counting.tables.counter).get('x').n)
  await db.close()
} catch (error) {
  console.log('refused', error.code, error.message.replaceAll('\\n', ' '))
}
`
export const mainModule = (options: string, appFile = './app.js') => `
import { open } from 'sluicedb'
import application, { count, counting } from '${appFile}'
console.log('runs the program')
${opening(options)}
console.log('done')
`
/** App and open() in one file. */
export const oneFile = (options: string) => `
import { open } from 'sluicedb'
${definitions()}
console.log('runs the program')
const application = app(import.meta.url, [counting])
export default application
${opening(options)}
console.log('done')
`
