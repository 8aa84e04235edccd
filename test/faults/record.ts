/** What a row of the fault table leaves behind when it has run: a file for each row, for report.ts. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface FaultFigure {
  readonly name: string
  readonly value: number | string
  readonly unit: string
}

export interface FaultRecord {
  readonly row: string
  readonly title: string
  readonly injected: string
  readonly invariant: string
  readonly pr: number
  /** Cases run. */
  readonly count: number
  readonly seed: number
  readonly ms: number
  readonly figures: readonly FaultFigure[]
  readonly failures: readonly string[]
  /** A deadline ended it before its count. */
  readonly isCut: boolean
  readonly commit: string
  readonly node: string
  readonly machine: string
  readonly date: string
}

export const recordFolder = process.env['SLUICE_FAULTS_DIR'] ?? join(fileURLToPath(new URL('../..', import.meta.url)), '.faults')
