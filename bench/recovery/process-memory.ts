/**
 * How much memory a process holds and at most held, as the kernel counts it (Linux only): pages of mapped files
 * included, pages of the file cache not.
 */
import { readFileSync, writeFileSync } from 'node:fs'

export interface ProcessMemory {
  readonly residentBytes: number
  /** Since the start of the process, or since `forgetPeak`. */
  readonly peakBytes: number
}

/** Undefined where there is no /proc. */
export function memoryOf(pid: number): ProcessMemory | undefined {
  let status: string
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
  const bytes = (field: string): number => {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)
    if (match === null) throw new Error(`/proc/${pid}/status has no ${field}`)
    return Number(match[1]) * 1_024
  }
  return { residentBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') }
}

/** The peak of this process counts from here. Answers whether the kernel let us. */
export function forgetPeak(): boolean {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
    return true
  } catch {
    return false
  }
}
