/** TPC-C as one application. Every partition worker loads this module, so it holds definitions only. */
import { app } from 'sluicedb'
import './load.js'
import { tpcc } from './tables.js'
import './transactions.js'

export default app(import.meta.url, [tpcc])
