/** Opens a database with the application of a plan, and says so: its migration may kill it on the way. */
import { open } from 'sluicedb'
import { evolved, type Plan } from '../support/apps/evolving-app.js'

const [path, plan] = process.argv.slice(2)
await open(evolved(JSON.parse(plan!) as Plan).application, { path: path! })
console.log('open')
