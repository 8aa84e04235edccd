/** A service that announces: a call is one event, and nothing else. Definitions only: partition workers import this module. */
import { app, column as c, service } from 'sluicedb'

const posted = { id: c.int(), account: c.int(), amount: c.int(), note: c.text() }

export const feed = service('feed', { events: { posted } })

export const post = feed.procedure('post', { input: posted, partition: (it) => it.account }, (tx, it) => tx.emit('posted', it))

export default app(import.meta.url, [feed])
