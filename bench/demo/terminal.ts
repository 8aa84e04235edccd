/**
 * Progress on the terminal: a few lines that are redrawn in place on a TTY, one line a second everywhere
 * else. Colours only on a TTY, and never when NO_COLOR is set.
 */
import type { WriteStream } from 'node:tty'

type Colour = 'bold' | 'dim' | 'green' | 'red' | 'cyan' | 'yellow'
const codes: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, green: 32, red: 31, cyan: 36, yellow: 33 }
const sparks = '▁▂▃▄▅▆▇█'
const redrawMs = 100
const lineMs = 1_000
const escape = '\u001b['

export class Terminal {
  readonly #output: WriteStream
  readonly #live: boolean
  readonly #coloured: boolean
  #drawn = 0
  #timer: NodeJS.Timeout | undefined
  #view: (() => readonly string[]) | undefined

  constructor(output: WriteStream) {
    this.#output = output
    this.#live = output.isTTY === true && process.env['TERM'] !== 'dumb'
    this.#coloured = this.#live && !process.env['NO_COLOR']
  }

  /** Whether lines are redrawn in place. */
  get live(): boolean {
    return this.#live
  }

  paint(colour: Colour, text: string): string {
    return this.#coloured ? `${escape}${codes[colour]}m${text}${escape}0m` : text
  }

  /** Prints a line for good, above what is being redrawn. */
  say(line: string): void {
    this.#erase()
    this.#output.write(`${line}\n`)
    this.#draw()
  }

  /** Shows `view()` until `hide()`. Without a TTY only its first line is printed, once a second. */
  show(view: () => readonly string[]): void {
    this.hide()
    this.#view = view
    this.#draw()
    this.#timer = setInterval(() => this.#tick(), this.#live ? redrawMs : lineMs)
  }

  hide(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = undefined
    this.#erase()
    this.#view = undefined
  }

  #tick(): void {
    if (this.#live) {
      this.#erase()
      this.#draw()
    } else if (this.#view) {
      this.#output.write(`${this.#view()[0] ?? ''}\n`)
    }
  }

  #draw(): void {
    if (!this.#live || !this.#view) return
    const width = this.#output.columns || 80
    const lines = this.#view().map((line) => clip(line, width - 1))
    this.#output.write(lines.map((line) => `${line}\n`).join(''))
    this.#drawn = lines.length
  }

  #erase(): void {
    if (this.#drawn === 0) return
    this.#output.write(`${escape}${this.#drawn}A${escape}0J`)
    this.#drawn = 0
  }
}

/** The last `width` values as little bars, the highest of all as a full one. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width)
  const highest = Math.max(1, ...shown)
  return shown.map((value) => sparks[Math.min(7, Math.floor((value / highest) * 7.999))]).join('')
}

export function bar(done: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, done)) * width)
  return '█'.repeat(filled) + '░'.repeat(width - filled)
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Three significant digits: 0.123, 1.23, 12.3, 123. */
export function milliseconds(value: number): string {
  if (value >= 100) return count(value)
  return value.toFixed(value >= 10 ? 1 : value >= 1 ? 2 : 3)
}

/** Pads by visible width: colours take no room. */
export function column(text: string, width: number, right = false): string {
  const padding = ' '.repeat(Math.max(0, width - visible(text).length))
  return right ? padding + text : text + padding
}

const colours = /\u001b\[\d+m/g

function visible(text: string): string {
  return text.replace(colours, '')
}

function clip(line: string, width: number): string {
  return visible(line).length <= width ? line : visible(line).slice(0, width)
}
