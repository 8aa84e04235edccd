#!/usr/bin/env node
/** The entry of the command `sluice`. The only file that knows the process; everything else can be called. */
import { run } from './run.js'

process.exitCode = await run(process.argv.slice(2), process.stdout, process.stderr)
