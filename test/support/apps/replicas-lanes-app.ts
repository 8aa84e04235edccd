/** The same products without rows that follow: what runs is what was called, so that runs can be compared byte by byte. */
import { app } from 'sluicedb'
import { cart, catalog } from './replicas-app.js'

export default app(import.meta.url, [catalog, cart])
