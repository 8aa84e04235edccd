/**
 * Watches how long the event loop of this thread stands still.
 *
 * Two clocks, because each misses something: Node's own delay histogram samples every millisecond off the JavaScript
 * stack and gives the percentiles; a timer that re-arms itself gives the longest gap as an application would feel it,
 * also when it ends with the watch. Neither keeps the loop busy: an always-armed `setImmediate` would take a whole
 * core and measure mostly itself. What garbage collection took is listed apart, so that a pause can be blamed.
 */
import { monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks'

/** Milliseconds. */
export interface Pauses {
  readonly longest: number
  readonly p99: number
  readonly longestCollection: number
  readonly collections: number
}

const resolutionMs = 1

export interface PauseWatch {
  stop(): Pauses
}

export function watchPauses(): PauseWatch {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  let longestGap = 0
  let longestCollection = 0
  let collections = 0
  let last = performance.now()
  let timer: NodeJS.Timeout

  const beat = (): void => {
    measureGap()
    timer = setTimeout(beat, resolutionMs)
  }
  const measureGap = (): void => {
    const now = performance.now()
    longestGap = Math.max(longestGap, now - last - resolutionMs)
    last = now
  }
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      longestCollection = Math.max(longestCollection, entry.duration)
      collections += 1
    }
  })

  observer.observe({ entryTypes: ['gc'] })
  histogram.enable()
  timer = setTimeout(beat, resolutionMs)

  return {
    stop() {
      measureGap()
      clearTimeout(timer)
      histogram.disable()
      observer.disconnect()
      const toMs = 1e-6
      const sampled = histogram.max * toMs - resolutionMs
      return {
        longest: Math.max(longestGap, Number.isFinite(sampled) ? sampled : 0),
        p99: Math.max(0, histogram.percentile(99) * toMs - resolutionMs),
        longestCollection,
        collections,
      }
    },
  }
}
